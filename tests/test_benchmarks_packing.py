"""What `python -m benchmarks.packing` prints."""

from benchmarks.packing import main


def test_files_and_shards_are_counted_and_compared(capsys):
    assert main(["--pictures", "30", "--rounds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("; 2 rounds")
    assert "| files opened | 30 | 3 | |" in lines  # to list, to place and to read one shard
    assert sum(line.startswith(("| found |", "| read, ")) for line in lines) == 3
    assert lines[-1].startswith("Packing: ")
