"""Progress: one bar a phase for a person at a terminal, one line an epoch for everybody."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from train.metrics_file import EpochRow

_BAR = (
    "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} images"
    "  {rate_noinv_fmt}  {remaining} left"
)
_USUAL_COLUMNS = 80
_USUAL_ROWS = 24


class Progress:
    """Draws bars on stderr when that is a terminal which can, and does nothing elsewhere.

    A bar is never coloured, so NO_COLOR needs nothing more. It is wiped when its phase ends.
    """

    def __init__(
        self,
        *,
        enabled: bool,
        stream: TextIO | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        is_dumb = environment.get("TERM", "") in ("", "dumb")
        self.is_shown = enabled and self._stream.isatty() and not is_dumb

    @contextmanager
    def phase(self, name: str, num_images: int) -> Iterator[Callable[[int], None]]:
        """One bar, for as long as the block runs; call what is yielded with images just done."""
        if not self.is_shown:
            yield _nothing
            return
        from tqdm import tqdm

        class Bar(tqdm):  # type: ignore[misc]
            """Without the thread that redraws stuck bars: ours are fed every batch."""

            monitor_interval = 0

        # Some containers' terminals say that they have no columns or no rows at all.
        has_size = all(os.get_terminal_size(self._stream.fileno()))
        with Bar(
            desc=name,
            total=num_images,
            unit=" images",
            file=self._stream,
            leave=False,
            dynamic_ncols=has_size,
            ncols=None if has_size else _USUAL_COLUMNS,
            nrows=None if has_size else _USUAL_ROWS,
            bar_format=_BAR,
        ) as bar:

            def advance(count: int) -> None:
                bar.update(count)

            yield advance


def epoch_line(row: EpochRow, epochs: int, *, best: bool) -> str:
    """One friendly line an epoch. It holds no `=`, so no metric regex ever finds it.

    Example: `epoch  3/10  loss 0.4123  accuracy 0.8812  validation 0.8725 (best)  2.1 s`.
    """
    width = len(str(epochs))
    parts = [f"epoch {row.epoch:>{width}}/{epochs}"]
    for name, word in (
        ("train:loss", "loss"),
        ("train:accuracy", "accuracy"),
        ("validation:accuracy", "validation"),
    ):
        if name in row.metrics:
            parts.append(f"{word} {row.metrics[name]:.4f}")
    if best:
        parts[-1] += " (best)"
    if "train:images_per_second" in row.metrics:
        parts.append(f"{row.metrics['train:images_per_second']:,.0f} images/s")
    parts.append(f"{row.seconds:.1f} s")
    return "  ".join(parts)


def _nothing(count: int) -> None:
    """What a phase without a bar is fed."""
