"""What to change where steps wait for data; several rules say it."""

from collections.abc import Sequence

from debugger.profile.loading import Loading, gain_of, gain_without_waits
from debugger.profile.numbers import in_percent, in_seconds, plural

LITTLE_WAIT = 10.0  # percent of a step: below it, data is not what holds training up
_LEAST_GAIN = 5.0  # percent of a step that more workers must save to be the advice


def advise(loading: Sequence[Loading]) -> tuple[str, float]:
    """What to change, and the percent of a step that it saves. `loading`: not empty, the process
    that waits most first."""
    worst = loading[0]
    workers = worst.better_workers()
    gain = gain_of(loading, workers)
    if workers > worst.workers and gain >= _LEAST_GAIN:
        return (
            f"set num-workers from {worst.workers} to {workers}: a step takes "
            f"{in_seconds(worst.step_seconds)}, it would take about "
            f"{in_seconds(worst.step_seconds * (1 - gain / 100))}, {in_percent(gain)} less",
            gain,
        )
    gain = gain_without_waits(loading)
    if not worst.knows_workers:
        return (
            f"raise num-workers, or store smaller pictures; without the wait a step is "
            f"{in_percent(gain)} shorter",
            gain,
        )
    have = f"{plural(worst.workers, 'loader worker')} on {plural(worst.cores, 'core')}"
    more = f"{have} are all that fit"
    if worst.workers < worst.cores:
        more = f"more than {have} would not help, as the cores are busy already"
    return (
        f"{more}: store the pictures at the size that the network sees, use a weaker augment, or "
        f"take an instance with more cores; without the wait a step is {in_percent(gain)} shorter",
        gain,
    )
