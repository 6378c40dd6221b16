"""Chart: the training benchmark as one picture for the README."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.chart import OURS_COLOUR, PEER_COLOUR
from benchmarks.rounds import middle
from benchmarks.train_data import ARCH
from benchmarks.train_frozen import EPOCHS
from benchmarks.train_page import Results

Group = tuple[str, list[tuple[str, float, bool]]]  # title; name, seconds, whether it is ours


def draw(results: Results, path: Path) -> None:
    """Seconds of the script and of ours, a panel each; nothing when nothing was measured."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = list(_groups(results))
    if not groups:
        return
    figure, panels = pyplot.subplots(
        1, len(groups), figsize=(1 + 3.4 * len(groups), 2.4), squeeze=False
    )
    for axes, (title, rows) in zip(panels[0], groups, strict=True):
        rows = rows[::-1]
        colours = [OURS_COLOUR if is_ours else PEER_COLOUR for _, _, is_ours in rows]
        drawn = axes.barh([name for name, _, _ in rows], [v for _, v, _ in rows], color=colours)
        labels = [f"{seconds:,.{0 if seconds >= 10 else 1}f} s" for _, seconds, _ in rows]
        axes.bar_label(drawn, labels, padding=3, fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.margins(x=0.25)
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(labelsize=8)
    machine = results.machine
    figure.suptitle(
        f"{ARCH} on {machine['processors']} processors of {machine['chip']}", fontsize=9
    )
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    pyplot.close(figure)


def _groups(results: Results) -> Iterator[Group]:
    frozen, tune, finetune = results.frozen, results.tune, results.finetune
    if frozen is not None:
        yield (
            f"frozen, {EPOCHS} epochs",
            [
                ("ordinary script", frozen.script_seconds, False),
                ("Kennel", middle(frozen.cold), True),
                ("Kennel again", middle(frozen.warm), True),
            ],
        )
    if tune is not None:
        yield (
            f"{tune.completed} trials of {EPOCHS} epochs",
            [
                ("script (extrapolated)", tune.completed * tune.script_seconds, False),
                ("kennel tune", tune.seconds, True),
            ],
        )
    if finetune is not None and finetune.ratios:
        yield (
            "fine-tuning, an epoch",
            [
                ("ordinary script", middle(finetune.script[1:]), False),
                ("Kennel", middle(finetune.ours[1:]), True),
            ],
        )
