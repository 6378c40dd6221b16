import pytest

from contract.targets import MOST_ENTRIES, find_targets


def put(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_bundles_runs_programs_and_archives_are_found_by_their_relative_names(tmp_path):
    put(
        tmp_path,
        "resnet50/bundle.json",
        "runs/0001-dogs/model/bundle.json",
        "runs/0001-dogs/run.json",
        "custom/code/inference.py",
        "a/b/v2.tar.gz",
        "notes.txt",
        "a/readme.md",
        ".hidden/bundle.json",
        ".v3.tar.gz",
    )
    assert find_targets(tmp_path) == {
        "a/b/v2.tar.gz": tmp_path / "a/b/v2.tar.gz",
        "custom": tmp_path / "custom",
        "resnet50": tmp_path / "resnet50",
        "runs/0001-dogs": tmp_path / "runs/0001-dogs/model",
    }


def test_what_lies_inside_a_model_is_no_model(tmp_path):
    put(tmp_path, "m/bundle.json", "m/old/bundle.json", "m/model.tar.gz", "deep/m/bundle.json")
    assert list(find_targets(tmp_path)) == ["deep/m", "m"]


def test_a_link_made_by_the_owner_counts_but_is_not_searched(tmp_path):
    put(tmp_path, "elsewhere/model/bundle.json", "many/a/bundle.json")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "searched").symlink_to(tmp_path / "many")
    (root / "loop").symlink_to(root)
    assert find_targets(root) == {"linked": root / "linked" / "model"}


def test_looking_ends(tmp_path):
    put(tmp_path, "/".join("abcdefgh") + "/bundle.json")
    assert find_targets(tmp_path) == {}
    assert MOST_ENTRIES < 1_000_000


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        find_targets(tmp_path / "nowhere")
