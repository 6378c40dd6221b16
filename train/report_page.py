"""report.html: one page about one run, with nothing to fetch."""

from collections.abc import Sequence
from dataclasses import dataclass

from contract.page import (
    Drawing,
    to_data_uri,
    to_figure,
    to_header,
    to_page,
    to_pairs,
    to_section,
    to_text,
)
from train.class_report import ClassScore, mean_f1
from train.confusion import ConfusedPair
from train.headline import build_tiles
from train.run_report import RunReport
from train.worst import WorstPicture, to_thumbnail

# Together these keep the page below 3 MB, whatever the run.
_MAX_CLASS_ROWS = 1500
_MAX_UNREADABLE_ROWS = 200


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
        to_header(
            run.title,
            list(run.facts.values())[:5],
            build_tiles(run, mean_f1(list(close.scores)) if close else None),
        ),
        to_section(
            "Training",
            f'{_kept(run)}<div class="wide">'
            f"{to_figure(curves, 'Loss and accuracy by epoch')}</div>",
        ),
    ]
    if close:
        sections += [
            to_section("Confusion", _confusion(run, close)),
            to_section("Classes", _classes(close)),
            to_section("Worst pictures", _worst(close)),
        ]
    sections.append(to_section("Run and settings", _settings(run)))
    if run.unreadable:
        sections.append(to_section("Unreadable pictures", _unreadable(run)))
    return to_page(run.title, "".join(sections))


def _kept(run: RunReport) -> str:
    if not run.best_epoch:
        return "<p>No epoch was finished.</p>"
    last = run.rows[-1].epoch if run.rows else run.best_epoch
    objective = run.settings.get("objective", "validation:accuracy")
    return (
        f"<p>The weights of epoch {run.best_epoch} of {last} were kept: the best "
        f"{to_text(objective)} of the run.</p>"
    )


def _confusion(run: RunReport, close: Close) -> str:
    names = run.labels.names
    rows = [
        f"<tr><td>{to_text(names[pair.true])}</td><td>{to_text(names[pair.predicted])}</td>"
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
        f"<p>Rows are true labels, columns what the network said of the {to_text(close.split)} "
        f"pictures.{hint}</p>"
        f'<div class="{kind}">{to_figure(close.confusion, "Confusion matrix")}</div>{table}'
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
        f"<p>Scores on the {to_text(close.split)} pictures. Click a column to sort.</p>"
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
    label = to_text(score.label)
    return (
        f'<tr><td data-value="{label}">{label}</td>{"".join(cells)}'
        f'<td class="n" data-value="{score.support}">{score.support:,}</td></tr>'
    )


def _worst(close: Close) -> str:
    figures = []
    for picture in close.worst:
        data = to_thumbnail(picture)
        image = (
            f'<img alt="" loading="lazy" src="{to_data_uri(data, "jpeg")}">'
            if data
            else '<div class="lost">cannot be opened</div>'
        )
        kind = "right" if picture.is_right else "said"
        figures.append(
            f'<figure title="{to_text(picture.path)}">{image}<figcaption>'
            f"<b>{to_text(picture.true)}</b>"
            f'<span class="{kind}">{picture.predicted_probability:.0%} '
            f"{to_text(picture.predicted)}</span><br>"
            f"{picture.true_probability:.1%} for its own label</figcaption></figure>"
        )
    return (
        f"<p>The {to_text(close.split)} pictures of highest loss: the true label in bold, below it "
        "what the network said. Wrong labels and odd pictures tend to gather here.</p>"
        f'<div class="worst">{"".join(figures)}</div>'
    )


def _settings(run: RunReport) -> str:
    metrics = {name: f"{value:.6g}" for name, value in run.metrics.items()}
    left = to_pairs("run", {**run.facts, **metrics})
    return f'<div class="pair">{left}{to_pairs("hyperparameter", run.settings)}</div>'


def _unreadable(run: RunReport) -> str:
    shown = run.unreadable[:_MAX_UNREADABLE_ROWS]
    rows = "".join(
        f"<tr><td>{to_text(path)}</td><td>{to_text(reason)}</td></tr>" for path, reason in shown
    )
    return (
        f"<p>Left out because they could not be read: {len(run.unreadable):,}.</p>"
        '<div class="scroll"><table><thead><tr><th>file</th><th>reason</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        f"{_more(len(run.unreadable) - len(shown), 'unreadable.csv')}"
    )


def _more(count: int, file: str) -> str:
    return f'<p class="muted">{count:,} more are in {file}.</p>' if count > 0 else ""
