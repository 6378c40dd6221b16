"""report.html: one page about one run, with nothing to fetch."""

import base64
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from train.class_report import ClassScore, mean_f1
from train.confusion import ConfusedPair
from train.headline import Tile, build_tiles
from train.report_style import SCRIPT, build_style
from train.run_report import RunReport
from train.worst import WorstPicture, to_thumbnail

# Together these keep the page below 3 MB, whatever the run.
_MAX_CLASS_ROWS = 1500
_MAX_UNREADABLE_ROWS = 200
_MAX_TEXT = 300  # characters of one cell
# Nothing may be loaded from anywhere, should a label ever hold markup that slips through.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One PNG drawn twice, for light and for dark screens."""

    light: bytes
    dark: bytes
    scale: float  # pixels drawn for each pixel shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """What was seen when one evaluation was looked at closely."""

    split: str
    confusion: Drawing
    scores: Sequence[ClassScore]
    pairs: Sequence[ConfusedPair]
    worst: Sequence[WorstPicture]


def build_page(run: RunReport, curves: Drawing, close: Close | None) -> str:
    """The whole page as text."""
    sections = [
        _header(run, build_tiles(run, mean_f1(list(close.scores)) if close else None)),
        _section(
            "Training",
            f'{_kept(run)}<div class="wide">{_figure(curves, "Loss and accuracy by epoch")}</div>',
        ),
    ]
    if close:
        sections += [
            _section("Confusion", _confusion(run, close)),
            _section("Classes", _classes(close)),
            _section("Worst pictures", _worst(close)),
        ]
    sections.append(_section("Run and settings", _settings(run)))
    if run.unreadable:
        sections.append(_section("Unreadable pictures", _unreadable(run)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(run.title)}</title><style>{build_style()}</style></head>\n"
        f"<body><main>{''.join(sections)}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _header(run: RunReport, tiles: Iterable[Tile]) -> str:
    facts = " &middot; ".join(_text(value) for value in list(run.facts.values())[:5])
    cells = "".join(
        f'<div class="tile"><span class="name">{_text(tile.name)}</span>'
        f"<b>{_text(tile.value)}</b><span>{_text(tile.note)}</span></div>"
        for tile in tiles
    )
    return (
        f'<h1>{_text(run.title)}</h1><p class="muted">{facts}</p><div class="tiles">{cells}</div>'
    )


def _kept(run: RunReport) -> str:
    if not run.best_epoch:
        return "<p>No epoch was finished.</p>"
    last = run.rows[-1].epoch if run.rows else run.best_epoch
    objective = run.settings.get("objective", "validation:accuracy")
    return (
        f"<p>The weights of epoch {run.best_epoch} of {last} were kept: the best "
        f"{_text(objective)} of the run.</p>"
    )


def _confusion(run: RunReport, close: Close) -> str:
    names = run.labels.names
    rows = [
        f"<tr><td>{_text(names[pair.true])}</td><td>{_text(names[pair.predicted])}</td>"
        f'<td class="n">{pair.count:,}</td><td class="n">{pair.share:.0%}</td></tr>'
        for pair in close.pairs
    ]
    table = (
        '<h2>Most confused</h2><div class="scroll"><table><thead><tr><th>true label</th>'
        '<th>predicted as</th><th class="n">pictures</th><th class="n">of the label</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
        if rows
        else "<p>No picture was mistaken.</p>"
    )
    kind, hint = "map", ""
    if close.confusion.scale == 1:
        kind, hint = "zoom", " Click the map to enlarge it."
    return (
        f"<p>Rows are true labels, columns what the network said of the {_text(close.split)} "
        f"pictures.{hint}</p>"
        f'<div class="{kind}">{_figure(close.confusion, "Confusion matrix")}</div>{table}'
    )


def _classes(close: Close) -> str:
    heads = '<th aria-sort="ascending"><button>label</button></th>' + "".join(
        f'<th class="n"><button>{name}</button></th>'
        for name in ("precision", "recall", "F1", "pictures")
    )
    shown = close.scores[:_MAX_CLASS_ROWS]
    rows = "".join(_class_row(score) for score in shown)
    more = _more(len(close.scores) - len(shown), "per_class.csv")
    return (
        f"<p>Scores on the {_text(close.split)} pictures. Click a column to sort.</p>"
        f'<div class="scroll"><table class="sortable"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{more}"
    )


def _class_row(score: ClassScore) -> str:
    cells = []
    for value in (score.precision, score.recall, score.f1):
        if value is None:
            cells.append('<td class="n" data-value="">&ndash;</td>')
            continue
        width = f"{100 * value:.0f}%"
        cells.append(
            f'<td class="n" data-value="{value:.4f}">'
            f'<span class="bar"><i style="width:{width}"></i></span>{value:.3f}</td>'
        )
    label = _text(score.label)
    return (
        f'<tr><td data-value="{label}">{label}</td>{"".join(cells)}'
        f'<td class="n" data-value="{score.support}">{score.support:,}</td></tr>'
    )


def _worst(close: Close) -> str:
    figures = []
    for picture in close.worst:
        data = to_thumbnail(picture)
        image = (
            f'<img alt="" loading="lazy" src="{_data_uri(data, "jpeg")}">'
            if data
            else '<div class="lost">cannot be opened</div>'
        )
        kind = "right" if picture.is_right else "said"
        figures.append(
            f'<figure title="{_text(picture.path)}">{image}<figcaption>'
            f"<b>{_text(picture.true)}</b>"
            f'<span class="{kind}">{picture.predicted_probability:.0%} '
            f"{_text(picture.predicted)}</span><br>"
            f"{picture.true_probability:.1%} for its own label</figcaption></figure>"
        )
    return (
        f"<p>The {_text(close.split)} pictures of highest loss: the true label in bold, below it "
        "what the network said. Wrong labels and odd pictures tend to gather here.</p>"
        f'<div class="worst">{"".join(figures)}</div>'
    )


def _settings(run: RunReport) -> str:
    metrics = {name: f"{value:.6g}" for name, value in run.metrics.items()}
    left = _pairs_table("run", {**run.facts, **metrics})
    return f'<div class="pair">{left}{_pairs_table("hyperparameter", run.settings)}</div>'


def _pairs_table(heading: str, pairs: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value) or '&ndash;'}</td></tr>"
        for name, value in pairs.items()
    )
    head = f"<thead><tr><th>{heading}</th><th>value</th></tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>' if rows else ""


def _unreadable(run: RunReport) -> str:
    shown = run.unreadable[:_MAX_UNREADABLE_ROWS]
    rows = "".join(
        f"<tr><td>{_text(path)}</td><td>{_text(reason)}</td></tr>" for path, reason in shown
    )
    return (
        f"<p>Left out because they could not be read: {len(run.unreadable):,}.</p>"
        '<div class="scroll"><table><thead><tr><th>file</th><th>reason</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        f"{_more(len(run.unreadable) - len(shown), 'unreadable.csv')}"
    )


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{heading}</h2>{body}</section>\n"


def _figure(drawing: Drawing, alt: str) -> str:
    width = struct.unpack(">I", drawing.light[16:20])[0] / drawing.scale  # IHDR
    return (
        '<figure><picture><source media="(prefers-color-scheme: dark)" '
        f'srcset="{_data_uri(drawing.dark, "png")}">'
        f'<img alt="{alt}" width="{width:.0f}" src="{_data_uri(drawing.light, "png")}">'
        "</picture></figure>"
    )


def _more(count: int, file: str) -> str:
    return f'<p class="muted">{count:,} more are in {file}.</p>' if count > 0 else ""


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _text(value: str) -> str:
    """Escaped, bounded, and encodable: file names may hold bytes that are not UTF-8."""
    plain = value.encode("utf-8", "replace").decode("utf-8")
    return escape(plain if len(plain) <= _MAX_TEXT else plain[: _MAX_TEXT - 3] + "...")
