"""What smdebug's own readers and analyses find in a profiler folder: an oracle for our files.

Run as a script, since importing smdebug changes how a process imports and logs.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from training import REPOSITORY, WAIT_SECONDS


def as_smdebug_reads(folder: Path, scratch: Path) -> dict[str, Any]:
    """`lines`, `events`, `steps`, ... of a folder; `scratch` gets the merged timeline."""
    out = scratch / "smdebug.json"
    done = subprocess.run(
        [sys.executable, __file__, str(folder), str(scratch), str(out)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def read(folder: str) -> dict[str, Any]:
    """System lines and timeline events."""
    from smdebug.profiler.algorithm_metrics_reader import LocalAlgorithmMetricsReader
    from smdebug.profiler.system_metrics_reader import LocalSystemMetricsReader

    late = 4_000_000_000_000_000  # microseconds
    lines = LocalSystemMetricsReader(folder).get_events(0, late)
    reader = LocalAlgorithmMetricsReader(folder)
    keys = ("event_phase", "event_name", "start_time", "end_time", "pid", "node_id", "event_args")
    return {
        "lines": [
            [one.node_id, one.type, one.name, one.dimension, one.timestamp, one.value]
            for one in lines
        ],
        "events": [[getattr(one, key) for key in keys] for one in reader.get_events(0, late)],
        "of_step_1": [one.event_phase for one in reader.get_events_by_step(1, 2)],
    }


def analyse(folder: str, scratch: str) -> dict[str, Any]:
    """Data frames, statistics of steps, the merged timeline, the analysis of loaders."""
    from smdebug.profiler.analysis.utils.merge_timelines import MergedTimeline
    from smdebug.profiler.analysis.utils.pandas_data_analysis import PandasFrameAnalysis
    from smdebug.profiler.analysis.utils.profiler_data_to_pandas import PandasFrame
    from smdebug.profiler.analysis.utils.pytorch_dataloader_analysis import PT_dataloader_analysis

    frame = PandasFrame(folder)
    system, framework = frame.get_all_system_metrics(), frame.get_all_framework_metrics()
    analysis = PandasFrameAnalysis(system, framework)
    steps = analysis.get_step_statistics()
    loaders = PT_dataloader_analysis(frame)
    merged = MergedTimeline(folder, output_directory=scratch).merge_timeline(
        int(frame.start_time), 4_000_000_000_000_000, sys_metrics_filter={"lowgpu": ()}
    )
    return {
        "frame": framework.groupby("process").size().to_dict(),
        "system_frame": len(system),
        "step_means": dict(zip(steps.training_phase, steps.duration_mean_us, strict=True)),
        "job_seconds": float(analysis.get_job_statistics()["job_duration"]) / 1e6,
        "loader_calls": len(loaders.dataIter_metric),
        "loader_starts": loaders.initialize_metric.framework_metric.tolist(),
        "merged": sum(1 for event in json.load(open(merged)) if event.get("ph") == "X"),
    }


def functions(folder: str, step: int) -> list[str]:
    """What cProfile saw in a step."""
    from smdebug.profiler.analysis.python_profile_analysis import cProfileAnalysis

    if not Path(folder).is_dir():
        return []
    stats = cProfileAnalysis(local_profile_dir=folder).fetch_profile_stats_by_step(step)
    return [name for _, _, name in stats.ps.stats]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    root, scratch_folder, target = sys.argv[1:]
    found = {
        **read(root),
        **analyse(root, scratch_folder),
        "functions": functions(f"{root}/framework/pytorch/cprofile", 1),
    }
    Path(target).write_text(json.dumps(found, default=str))
