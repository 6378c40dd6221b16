"""Page: the results of the training benchmark as Markdown, for people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bars import Bar
from benchmarks.page import spread
from benchmarks.rounds import middle
from benchmarks.train_data import ARCH, REAL_ARCH
from benchmarks.train_finetune import Finetune
from benchmarks.train_frozen import EPOCHS, Accuracy, Frozen
from benchmarks.train_hosts import APART, ONE, Scaling
from benchmarks.train_loader import Loader
from benchmarks.train_pass import Pass
from benchmarks.train_scale import Scale
from benchmarks.train_seeds import Seeds
from benchmarks.train_tune import TRIALS, Tune


@dataclass(slots=True, kw_only=True)
class Results:
    """One run; None or empty is what was not measured."""

    machine: Mapping[str, str]
    title: str  # of the pictures
    frozen: Frozen | None = None
    accuracy: Accuracy | None = None
    tune: Tune | None = None
    passes: Sequence[Pass] = ()
    finetune: Finetune | None = None
    loader: Loader | None = None
    hosts: Scaling | None = None
    scale: Scale | None = None
    seeds: Sequence[Seeds] = ()

    @property
    def bars(self) -> list[Bar]:
        """Of all that was measured, in the order of the page."""
        parts = (
            *(self.frozen, self.accuracy, self.tune, *self.passes),
            *(self.finetune, self.loader, self.scale, *self.seeds),
        )
        return [bar for part in parts if part is not None for bar in part.bars()]


def page_of(results: Results) -> str:
    """benchmarks/results/train.md."""
    parts: tuple[Callable[[Results], Iterator[str]], ...] = (
        *(_head, _frozen, _accuracy, _tune, _pass, _finetune),
        *(_loader, _hosts, _scale, _seeds, _bars, _method),
    )
    texts = ["\n".join(part(results)) for part in parts]
    return "\n\n".join(text for text in texts if text) + "\n"


def _head(results: Results) -> Iterator[str]:
    machine = results.machine
    yield "# Training, beside the ordinary script"
    yield ""
    yield "Written by `make bench-train`. The ordinary script is `benchmarks/yardstick.py`:"
    yield "ImageFolder, torchvision's transforms, a DataLoader with two workers, batches of 32,"
    yield f"Adam, float32. The pictures are {results.title}."
    yield ""
    yield f"{machine['date']}, {machine['chip']}, {machine['processors']} processors,"
    yield f"{machine['memory']}, Python {machine['python']}; {machine['ours']}."


def _frozen(results: Results) -> Iterator[str]:
    found = results.frozen
    if found is None:
        return
    yield f"## {EPOCHS} epochs of a frozen {ARCH}"
    yield ""
    yield "| | seconds | times as fast | with Python's start | CPU seconds | peak MiB |"
    yield "|---|---|---|---|---|---|"
    yield (
        f"| the ordinary script | {found.script_seconds:.1f} | 1 | "
        f"| {found.script_cpu:.0f} | {found.script_peak_mib:.0f} |"
    )
    cold, warm = ([found.script_seconds / one for one in each] for each in (found.cold, found.warm))
    yield (
        f"| Kennel, empty cache | {spread(found.cold, 1)} | {spread(cold, 1)} "
        f"| {middle(found.cold_whole):.1f} | {middle(found.cold_cpu):.0f} "
        f"| {found.peak_mib:.0f} |"
    )
    yield (
        f"| Kennel, once more | {spread(found.warm, 1)} | {spread(warm, 1)} "
        f"| {middle(found.warm_whole):.1f} | {middle(found.warm_cpu):.0f} | |"
    )
    yield ""
    yield "Seconds count from the first look at the pictures to the saved network. An epoch is"
    yield f"{found.pictures_an_epoch} pictures with validation. The script's epochs took"
    yield ", ".join(f"{one:.1f}" for one in found.script_epochs) + " s."
    if found.is_extrapolated:
        yield f"Only that many were run: its {EPOCHS} are extrapolated."


def _accuracy(results: Results) -> Iterator[str]:
    found = results.accuracy
    if found is None:
        return
    if found.why_not:
        yield f"Accuracy beside the script's was not measured: {found.why_not}."
        return
    yield f"With {REAL_ARCH} and ImageNet's weights, {EPOCHS} epochs, best validation accuracy:"
    yield ""
    yield "| seed | Kennel | the ordinary script |"
    yield "|---|---|---|"
    for seed, (ours, script) in enumerate(zip(found.ours, found.script, strict=True)):
        yield f"| {seed} | {ours:.4f} | {script:.4f} |"
    yield ""
    yield "The script crops and flips at random; Kennel, without being told, learns from centre"
    yield "crops."


def _tune(results: Results) -> Iterator[str]:
    found = results.tune
    if found is None:
        return
    twenty = found.completed * found.script_seconds
    yield f"## {TRIALS} trials of {EPOCHS} epochs"
    yield ""
    yield f"`kennel tune` with an empty cache: {found.seconds:.1f} s for {found.completed} trials,"
    yield f"{found.parallel} at a time, from the command to its last line"
    yield f"({found.cpu_seconds:.0f} s of processors). One run of the ordinary script took"
    yield f"{found.script_seconds:.1f} s; {found.completed} of them would take {twenty:,.0f} s"
    yield f"(extrapolated, not run): {twenty / found.seconds:.0f} times as long."
    if found.is_extrapolated:
        yield f"That one run is extrapolated, too: one of its {EPOCHS} epochs was run."


def _pass(results: Results) -> Iterator[str]:
    if not results.passes:
        return
    yield "## The pass over the trunk"
    yield ""
    yield "Milliseconds a picture, all processors busy. Decoding and computing alone: from bytes"
    yield "in memory to pixels, and from those to features, in the fastest batch size found."
    yield ""
    yield "| engine | pass | decode | compute | of the limit |"
    yield "|---|---|---|---|---|"
    for item in results.passes:
        each = ([1e3 * v for v in part] for part in (item.trunk_pass, item.decode, item.compute))
        cells = " | ".join(spread(part, 2) for part in each)
        name = f"{item.engine}, {item.lanes} at once of {item.batch}"
        yield f"| {name} | {cells} | {spread(item.shares, 3)} |"


def _finetune(results: Results) -> Iterator[str]:
    found = results.finetune
    if found is None:
        return
    pictures = found.train_pictures + found.validation_pictures
    yield f"## Fine-tuning all of {ARCH}"
    yield ""
    yield f"Seconds an epoch of {found.train_pictures} training and {found.validation_pictures}"
    yield "validation pictures, random crops, in turns:"
    yield ""
    yield "| epoch | Kennel | the ordinary script | times as fast |"
    yield "|---|---|---|---|"
    for number, (ours, script) in enumerate(zip(found.ours, found.script, strict=True), start=1):
        yield f"| {number} | {ours:.1f} | {script:.1f} | {script / ours:.2f} |"
    yield ""
    yield f"From the second on {pictures / middle(found.ours[1:] or found.ours):.2f} against"
    yield f"{pictures / middle(found.script[1:] or found.script):.2f} pictures/s; peak memory"
    yield f"{found.peak_mib:,.0f} against {found.script_peak_mib:,.0f} MiB."


def _loader(results: Results) -> Iterator[str]:
    found = results.loader
    if found is None:
        return
    yield "## The loader"
    yield ""
    yield f"Fine-tuning all of {ARCH} with random crops on {found.device}"
    yield f"({'compiled' if found.is_compiled else 'not compiled'}): pictures/s of training, and"
    yield "of the same steps on pictures that are in memory, in turns:"
    yield ""
    yield "| | pictures/s |"
    yield "|---|---|"
    yield f"| epochs from the second on | {spread(found.epochs, 2)} |"
    yield f"| the steps alone | {spread(found.alone, 2)} |"


def _hosts(results: Results) -> Iterator[str]:
    found = results.hosts
    if found is None:
        return
    yield "## Two processes"
    yield ""
    yield "Fine-tuning, pictures/s of training. Efficiency is in shares of twice one processor."
    yield ""
    yield "| | pictures/s | efficiency |"
    yield "|---|---|---|"
    for name, rate in found.rates.items():
        efficiency = "" if name == ONE else f"{found.efficiency(name):.2f}"
        yield f"| {name} | {rate:.2f} | {efficiency} |"
    yield ""
    yield "The limit is the last line: two jobs that share nothing but the machine (cores, caches,"
    yield f"memory) reach {found.efficiency(APART):.2f}. What is below that is gloo and batch norm."


def _scale(results: Results) -> Iterator[str]:
    found = results.scale
    if found is None:
        return
    yield "## More pictures"
    yield ""
    yield "Whole jobs, squeezenet1_1, generated pictures of 128 x 96, no cache."
    yield ""
    yield "| pictures | seconds | CPU seconds | CPU ms a further picture | peak MiB |"
    yield "|---|---|---|---|---|"
    for cost, step in zip(found.costs, ("", *(f"{v:.2f}" for v in found.steps_ms)), strict=True):
        yield (
            f"| {cost.pictures:,} | {cost.wall_seconds:.1f} | {cost.cpu_seconds:.1f} | {step} "
            f"| {cost.peak_mib:,.0f} |"
        )


def _seeds(results: Results) -> Iterator[str]:
    if not results.seeds:
        return
    yield "## int8 against float32"
    for item in results.seeds:
        engines = list(item.accuracy)
        yield ""
        yield f"Test accuracy, {item.title}:"
        yield ""
        yield f"| seed | {' | '.join(engines)} |"
        yield "|---|" + "---|" * len(engines)
        for seed, values in enumerate(zip(*item.accuracy.values(), strict=True)):
            yield f"| {seed} | {' | '.join(f'{value:.4f}' for value in values)} |"
        yield ""
        yield f"int8 less f32: {item.gain:+.4f}; noise (two standard errors of the pairs):"
        yield f"{item.noise:.4f}."


def _bars(results: Results) -> Iterator[str]:
    yield "## Bars"
    yield ""
    yield "```"
    for bar in results.bars:
        yield bar.line() + (f"   (rounds {spread(bar.values, 2)})" if bar.values else "")
    yield "```"


def _method(_results: Results) -> Iterator[str]:
    yield "## Method"
    yield ""
    yield "One after the other on the same machine in one run. The ordinary script is stopped"
    yield "(SIGSTOP) between two of its epochs while ours runs, and its clock with it. Values of"
    yield "bars are medians of the rounds. Both scripts have no GPU here."
