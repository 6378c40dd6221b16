"""For the tests of [debugger], [profiler] and [rules]: what the tables of a job ask for."""

from collections.abc import Callable
from pathlib import Path

from control.debug_spec import DebugSpec
from control.job_spec import read_job_spec

OWN = "class MyRule(Rule):\n    pass\n\nclass Other:\n    pass\n"


def reader_below(folder: Path) -> Callable[[str], DebugSpec]:
    """Reads tables as those of a job in this folder, beside pictures and a rule of one's own."""
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.png").touch()
    (folder / "my_rule.py").write_text(OWN)

    def read(text: str) -> DebugSpec:
        path = folder / "job.toml"
        path.write_text(f'[channels]\ntrain = "pictures"\n{text}')
        return read_job_spec(path).debug

    return read


def collections(debug: DebugSpec) -> dict[str, dict[str, str]]:
    """The parameters of each that is saved."""
    return {one.name: dict(one.parameters) for one in debug.hook.collections}
