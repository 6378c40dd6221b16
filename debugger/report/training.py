"""Training as the job's page tells it: curves, confusion, worst pictures, scores of each class."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from contract.manifest import REPORT_NAME
from contract.page import find_figure, to_data_uri, to_section, to_text
from debugger.report.drawing import HALF, add_axes, draw_figure, style_axes, title_axes
from debugger.report.ink import ink
from debugger.report.job_files import JobFiles
from debugger.report.words import to_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, float]]
_PANELS = ("loss", "accuracy")
_INKS = {"train": "wait", "validation": "backward"}
_MARKERS_UP_TO = 20  # epochs
_MOST_CLASSES = 1500
_WORST_WIDTH = 1032  # pixels of the embedded sheet
_MOST_PIXELS = 40_000_000  # of a picture that is opened here: what `train` leaves is far smaller


def curves_section(job: JobFiles) -> str:
    """Loss and accuracy of each epoch."""
    if not job.epochs:
        text = "No epoch was finished, or output/data/metrics.csv is not here."
        return to_section("Training curves", f"<p>{text}</p>", "curves")
    panels = "".join(_draw_panel(job.epochs, quantity) for quantity in _PANELS)
    extra = _extra_names(job.epochs)
    panels += "".join(_draw_extra(job.epochs, name) for name in extra)
    num = "1 epoch" if len(job.epochs) == 1 else f"{len(job.epochs):,} epochs"
    body = f'<p>{num}.{_best(job)}</p><div class="panels">{panels}</div>'
    return to_section("Training curves", body, "curves")


def confusion_section(job: JobFiles) -> str:
    """The map of true and predicted labels, and each class's scores."""
    drawn = _find_confusion(job)
    if drawn is None:
        return ""
    table = _class_table(job)
    heading = "<h3>Classes</h3><p>Click a column to sort.</p>" if table else ""
    body = (
        "<p>Rows are true labels, columns what the network said. Click the map to enlarge it.</p>"
        f"{drawn}{heading}{table}"
    )
    return to_section("Confusion", body, "confusion")


def worst_section(job: JobFiles) -> str:
    """The pictures of highest loss."""
    picture = job.picture("worst.png")
    sheet = _shrink(picture) if picture else None
    if sheet is None:
        return ""
    body = (
        "<p>The pictures of highest loss: the true label in bold, below it what the network said. "
        "Wrong labels and odd pictures tend to gather here.</p>"
        f'<div class="paper"><img alt="Pictures of highest loss" '
        f'src="{to_data_uri(sheet, "jpeg")}"></div>'
    )
    return to_section("Worst pictures", body, "worst")


def _find_confusion(job: JobFiles) -> str | None:
    """The figure of training's own report, which is there for dark screens, too; or the file."""
    report = job.picture(REPORT_NAME)
    if report and (found := find_figure(report.decode("utf-8", "replace"), "Confusion matrix")):
        return f'<div class="zoom">{found}</div>'
    picture = job.picture("confusion.png")
    if picture is None:
        return None
    source = to_data_uri(picture, "png")
    return f'<div class="zoom paper"><img alt="Confusion matrix" src="{source}"></div>'


def _best(job: JobFiles) -> str:
    """The epoch with the best objective, which is the one whose weights are kept."""
    objective = job.hyperparameters.get("objective", "validation:accuracy")
    known = [(row[objective], -row["epoch"]) for row in job.epochs if objective in row]
    if not known:
        return ""
    best = min(known, key=lambda one: (one[0], -one[1])) if "loss" in objective else max(known)
    return f" The best {to_text(objective)}, {best[0]:.4f}, came in epoch {-best[1]:.0f}."


def _extra_names(rows: Rows) -> list[str]:
    """Speed and learning rate, and metrics of the user's own."""
    shown = {f"{split}:{quantity}" for split in _INKS for quantity in _PANELS}
    names = dict.fromkeys(name for row in rows for name in row)
    left = [name for name in names if name not in {*shown, "epoch", "seconds"}]
    return left[:4] if len(rows) > 1 else []


def _draw_panel(rows: Rows, quantity: str) -> str:
    found = {split: _points(rows, f"{split}:{quantity}") for split in _INKS}
    found = {split: points for split, points in found.items() if points}
    if not found:
        return ""

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 46, 34, 110, 44)
        for split, points in found.items():
            _draw_line(axes, points, _INKS[split])
        _name_ends(axes, found)
        _finish(axes, rows, quantity.capitalize())
        low, high = axes.get_ylim()
        if quantity == "accuracy":
            axes.set_ylim(max(0.0, low), min(1.02, max(high, low + 0.1)))

    alt = f"{quantity.capitalize()} by epoch: " + ", ".join(
        f"{split} from {points[0][1]:.3f} to {points[-1][1]:.3f}" for split, points in found.items()
    )
    return draw_figure(draw, alt, width=HALF, height=250)


def _draw_extra(rows: Rows, name: str) -> str:
    points = _points(rows, name)
    if not points:
        return ""

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 62, 34, 14, 44)
        _draw_line(axes, points, "evaluate")
        _finish(axes, rows, name.replace("_", " "))

    return draw_figure(draw, f"{name} by epoch", width=HALF, height=190)


def _draw_line(axes: "Axes", points: Sequence[tuple[float, float]], colour: str) -> None:
    marker = "o" if len(points) <= _MARKERS_UP_TO else ""
    axes.plot(*zip(*points, strict=True), color=ink(colour), linewidth=2, marker=marker,
              markersize=4.5)  # fmt: skip


def _finish(axes: "Axes", rows: Rows, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    style_axes(axes)
    title_axes(axes, title)
    first, last = rows[0]["epoch"], rows[-1]["epoch"]
    room = max((last - first) * 0.03, 0.5 if first == last else 0)
    axes.set_xlim(first - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.locator_params(axis="y", nbins=5)
    axes.set_xlabel("epoch", labelpad=2)


def _name_ends(axes: "Axes", found: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Names beside the lines' ends, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.11
    ends = sorted((points[-1][1], split, points[-1][0]) for split, points in found.items())
    heights = [end[0] for end in ends]
    if len(heights) == 2 and heights[1] - heights[0] < gap:
        middle = sum(heights) / 2
        heights = [middle - gap / 2, middle + gap / 2]
    for height, (value, split, epoch) in zip(heights, ends, strict=True):
        axes.annotate(f"{split} {value:.3f}", (epoch, height), xytext=(9, 0), va="center",
                      textcoords="offset points", color=ink(_INKS[split]),
                      annotation_clip=False)  # fmt: skip


def _points(rows: Rows, name: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[name]) for row in rows if math.isfinite(row.get(name, math.nan))]


def _class_table(job: JobFiles) -> str:
    """per_class.csv, to be sorted by a click."""
    data = job.picture("per_class.csv")
    if data is None:
        return ""
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8", "replace"))))[:_MOST_CLASSES]
    names = ("precision", "recall", "f1", "support")
    heads = "".join(f'<th class="n"><button>{name}</button></th>' for name in names)
    body = ""
    for row in rows:
        label = to_text(row.get("label") or "")
        cells = "".join(_cell(row.get(name) or "", name == "support") for name in names)
        body += f'<tr><td data-value="{label}">{label}</td>{cells}</tr>'
    return (
        '<div class="scroll"><table class="sortable"><thead><tr><th aria-sort="ascending">'
        f"<button>label</button></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(text: str, is_whole: bool) -> str:
    try:
        value = float(text)
    except ValueError:
        return '<td class="n" data-value="">&ndash;</td>'
    shown = f"{value:,.0f}" if is_whole else f"{value:.3f}"
    return f'<td class="n" data-value="{value:g}">{shown}</td>'


def _shrink(picture: bytes) -> bytes | None:
    """As JPEG, no wider than the page: a sheet of photographs is megabytes as PNG."""
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return None
            image = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    if image.width > _WORST_WIDTH:
        height = round(image.height * _WORST_WIDTH / image.width)
        image = image.resize((_WORST_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80, optimize=True)
    return buffer.getvalue()


def scores_table(job: JobFiles) -> str:
    """What the kept network got right, by split."""
    rows = [
        (to_text(one.split), f"{one.right / one.pictures:.4f}", f"{one.right:,}",
         f"{one.pictures:,}")
        for one in job.scores
    ]  # fmt: skip
    return to_table(("split", "accuracy", "right", "pictures"), rows) if rows else ""
