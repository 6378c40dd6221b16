"""report.html of a study: one page about one tuning run, with nothing to fetch.

Also a command, for studies that ran elsewhere: python -m train.study_page STUDY.json REPORT.html
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from contract.errors import KennelError
from contract.files import write_text
from contract.page import draw_twice, to_figure, to_header, to_page, to_section, to_text
from contract.page_style import STORY_STYLE
from contract.study import Study, read_study
from contract.theme import Theme
from train.study_axes import STUDY_SCALE, scored
from train.study_curves import curve_metric, draw_trial_curves
from train.study_history import draw_history, draw_times
from train.study_parallel import MAX_AXES, draw_parallel
from train.study_slices import draw_slice
from train.study_story import build_tiles, rank_importances, tell_study
from train.study_table import best_settings, spec_tables, trials_table


def write_study_page(study: Study, path: Path, *, price_per_hour: float | None = None) -> None:
    """Draw the page of a study, finished or not, into `path`.

    Args:
        price_per_hour: of one trial: of its machine, or of its part of a machine that runs
            several at once; adds what each trial cost, and all together.

    Raises HostError when the disk is full.
    """
    write_text(path, build_study_page(study, price_per_hour))


def build_study_page(study: Study, price_per_hour: float | None = None) -> str:
    """The whole page as text."""
    metric, best = study.spec.objective.metric, study.best_trial
    facts = [study.spec.strategy, f"{study.spec.objective.goal.lower()} {metric}"]
    facts.append(study.status.lower() if study.status != "InProgress" else "still running")
    story = "".join(f"<p>{to_text(sentence)}</p>" for sentence in tell_study(study))
    sections = [
        to_header(
            study.spec.name,
            facts,
            build_tiles(study, price_per_hour),
            f'<div class="story">{story}</div>',
        )
    ]
    if scored(study):
        sections += _figures(study)
    if study.trials:
        sections.append(to_section("Time", _wide(partial(draw_times, study), "Time by trial")))
        hint = "<p>The best come first. Click a column to sort.</p>"
        sections.append(to_section("Trials", hint + trials_table(study, price_per_hour)))
    if best is not None:
        hint = f"<p>What trial {best.number} was trained with, for a job description.</p>"
        sections.append(to_section("Best hyperparameters", hint + best_settings(study, best)))
    sections.append(to_section("Study and ranges", spec_tables(study)))
    return to_page(study.spec.name, "".join(sections), _STYLE)


def main(arguments: Sequence[str]) -> int:
    """Draw the page of a study.json; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m train.study_page", description="Draw the page of a tuning run."
    )
    parser.add_argument("study", type=Path, metavar="STUDY.json")
    parser.add_argument("page", type=Path, metavar="REPORT.html")
    parser.add_argument(
        "--price-per-hour", type=float, metavar="PRICE", help="of one machine; adds the cost"
    )
    given = parser.parse_args(arguments)
    try:
        write_study_page(read_study(given.study), given.page, price_per_hour=given.price_per_hour)
    except KennelError as error:
        sys.stderr.write(f"failed: {error}\n")
        return error.exit_code
    return 0


def _figures(study: Study) -> list[str]:
    """The sections that need at least one trial with an objective."""
    ranked = sorted(study.spec.ranges, key=lambda name: -study.importances.get(name, 0.0))
    shown = ranked[:MAX_AXES]
    left_out = len(ranked) - len(shown)
    hint = "One line a trial: its hyperparameters from axis to axis, and what came of them."
    if left_out:
        hint += f" The {MAX_AXES} hyperparameters that matter most are shown."
    sections = [
        to_section("Search", _wide(partial(draw_history, study), "Objective by trial")),
        to_section(
            "Parallel coordinates",
            f"<p>{hint} The best is orange; the stronger the blue, the better.</p>"
            + _wide(partial(draw_parallel, study, shown), "Parallel coordinates"),
        ),
    ]
    if importances := rank_importances(study):
        sections.append(to_section("Importance", _importances(importances)))
    sections.append(to_section("Hyperparameters one by one", _slices(study, ranked)))
    metric = curve_metric(study)
    if metric:
        drawn = _wide(lambda theme: draw_trial_curves(study, metric, theme), "Curves of all trials")
        sections.append(to_section("Curves", drawn))
    return sections


def _wide(draw: Callable[[Theme], bytes], alt: str) -> str:
    return f'<div class="wide">{to_figure(draw_twice(draw, STUDY_SCALE), alt)}</div>'


def _slices(study: Study, names: Sequence[str]) -> str:
    panels = [
        to_figure(draw_twice(partial(draw_slice, study, name), STUDY_SCALE), f"Objective by {name}")
        for name in names
    ]
    return (
        f"<p>{to_text(study.spec.objective.metric)} against each hyperparameter. Late trials are "
        "stronger in colour, the best has an orange ring.</p>"
        f'<div class="slices">{"".join(panels)}</div>'
    )


def _importances(ranked: list[tuple[str, float]]) -> str:
    most = ranked[0][1]
    rows = "".join(
        f'<span>{to_text(name)}</span><i><b style="width:{100 * share / most:.1f}%"></b></i>'
        f"<span>{share:.2f}</span>"
        for name, share in ranked
    )
    return (
        "<p>How much of the difference between trials each hyperparameter explains, estimated "
        f'from the trials; together 1.</p><div class="shares">{rows}</div>'
    )


_STYLE = (
    STORY_STYLE
    + """.slices{display:grid;grid-template-columns:repeat(auto-fill,minmax(290px,1fr));gap:18px}
.slices img{width:340px}
.shares{display:grid;grid-template-columns:max-content minmax(80px,460px) max-content;
  gap:8px 14px;align-items:center;font-variant-numeric:tabular-nums}
.shares i{height:14px;border-radius:4px;background:var(--raised);overflow:hidden}
.shares b{display:block;height:100%;background:var(--accent)}
.trials tr.best td{background:var(--raised);font-weight:600}
.trials td{overflow-wrap:normal;white-space:nowrap}
.trials td:first-child{min-width:0}
.trials td.reason{white-space:normal;min-width:16em}
.trials td.failed{color:var(--wrong)}
pre{background:var(--raised);border-radius:10px;padding:14px 18px;overflow:auto;font-size:13.5px;
  line-height:1.55;margin:0;max-width:560px}
@media print{.slices{grid-template-columns:repeat(2,1fr)}figure,.shares,pre{break-inside:avoid}
  .slices img{width:100%}}
"""
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
