"""Profiled: the timeline of a job that asked to be measured, with its windows."""

from contract.job import TrainingJob
from contract.profiler_config import DETAILED, PYTHON, Window
from train.operator_windows import Lens, OperatorWindows
from train.profile_place import ProfilePlace
from train.timeline import SPAN_NAMES, RunTimeline
from train.trace_file import TraceFile
from train.world import World


def build_timeline(job: TrainingJob, world: World) -> RunTimeline | None:
    """None: the job did not ask for one."""
    config, place = job.profiler, ProfilePlace.of(job)
    if place is None or config is None:
        return None
    file = TraceFile(
        place,
        world.rank,
        rotate_seconds=config.rotate_seconds,
        rotate_bytes=config.rotate_bytes,
        names=SPAN_NAMES,
    )
    lenses: list[tuple[Window, Lens]] = []
    if DETAILED in config.windows:
        from train.operators import Operators

        lenses.append((config.windows[DETAILED], Operators(file)))
    if PYTHON in config.windows:
        from train.python_profile import PythonProfile

        window = config.windows[PYTHON]
        lenses.append((window, PythonProfile(place, world.rank, window)))
    return RunTimeline(file, OperatorWindows(lenses))
