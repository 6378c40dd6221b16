"""History: every trial's objective in order, the best so far, and the time that each took."""

from typing import TYPE_CHECKING

from contract.study import Study, Trial
from contract.theme import Theme
from train.study_axes import ObjectiveScale, count_axis, draw_png, name_lines, scored, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _WIDTH = 0.065, 0.79


def draw_history(study: Study, theme: Theme) -> bytes:
    """PNG: a dot a trial, a step line for the best so far."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_axes((_LEFT, 0.14, _WIDTH, 0.76))
        style_axes(axes, theme)
        scale = ObjectiveScale.of(study)
        _draw_trials(axes, study, scale, theme)
        _draw_best(axes, study, scale, theme)
        _draw_failed(axes, study, theme)
        axes.set_ylim(scale.low, scale.high)
        count_axis(axes, study.trials[0].number, study.trials[-1].number)
        axes.set_xlabel("trial", fontsize=9)
        axes.set_title(study.spec.objective.metric, loc="left", color=theme.text, fontsize=12,
                       fontweight="bold", pad=10)  # fmt: skip
        name_lines(axes, theme)

    return draw_png(draw, theme, 10.5, 3.4)


def draw_times(study: Study, theme: Theme) -> bytes:
    """PNG: a bar a trial, seconds or minutes."""

    def draw(figure: "Figure") -> None:
        axes = figure.add_axes((_LEFT, 0.2, _WIDTH, 0.62))
        style_axes(axes, theme)
        unit, divisor = unit_of(max(trial.seconds for trial in study.trials))
        for status, colour in _colours(theme).items():
            found = [trial for trial in study.trials if trial.status == status]
            if not found:
                continue
            heights = [trial.seconds / divisor for trial in found]
            width = 0.7 if len(study.trials) < 200 else 1.0
            axes.bar([trial.number for trial in found], heights, width, color=colour,
                     label=_words(status))  # fmt: skip
        axes.set_title(f"Time by trial, {unit}", loc="left", color=theme.text, fontsize=12,
                       fontweight="bold", pad=10)  # fmt: skip
        axes.set_ylim(bottom=0)
        count_axis(axes, study.trials[0].number, study.trials[-1].number)
        axes.set_xlabel("trial", fontsize=9)
        name_lines(axes, theme)

    return draw_png(draw, theme, 10.5, 2.4)


def unit_of(seconds: float) -> tuple[str, float]:
    """The unit in which so long a time is read best, and its seconds."""
    if seconds < 300:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)


def _words(status: str) -> str:
    return {"Stopped": "stopped early", "InProgress": "in progress"}.get(status, status.lower())


def _colours(theme: Theme) -> dict[str, str]:
    return {
        "Completed": theme.validation,
        "Stopped": theme.heat[2],
        "Failed": theme.train,
        "InProgress": theme.muted,
    }


def _size(study: Study) -> float:
    return 36 if len(study.trials) <= 60 else 20 if len(study.trials) <= 250 else 9


def _draw_trials(axes: "Axes", study: Study, scale: ObjectiveScale, theme: Theme) -> None:
    for status, face in (("Completed", theme.validation), ("Stopped", theme.surface)):
        found = [trial for trial in scored(study) if trial.status == status]
        inside = [trial for trial in found if not scale.is_outside(_value(trial))]
        if found:
            axes.scatter(
                [trial.number for trial in inside], [_value(trial) for trial in inside],
                s=_size(study), color=face, edgecolors=theme.validation, linewidths=1.2,
                label=_words(status), zorder=3,
            )  # fmt: skip
    outside = [trial for trial in scored(study) if scale.is_outside(_value(trial))]
    if outside:
        edges = [scale.cut(_value(trial)) for trial in outside]
        marker = "^" if edges[0] == scale.high else "v"
        axes.scatter(
            [trial.number for trial in outside], edges, s=_size(study), marker=marker,
            color=theme.muted, label="far outside", zorder=3, clip_on=False,
        )  # fmt: skip


def _draw_best(axes: "Axes", study: Study, scale: ObjectiveScale, theme: Theme) -> None:
    numbers, values = best_so_far(study)
    if not numbers:
        return
    numbers.append(max(trial.number for trial in study.trials))
    values.append(values[-1])
    axes.plot(
        numbers, [scale.cut(value) for value in values], drawstyle="steps-post",
        color=theme.train, linewidth=1.6, label="best so far", zorder=2,
    )  # fmt: skip
    best = study.best_trial
    if best is not None and best.objective is not None:
        axes.scatter(
            [best.number], [best.objective], s=150, facecolor="none", edgecolors=theme.train,
            linewidths=2, zorder=4, label=f"best: trial {best.number}",
        )  # fmt: skip


def _draw_failed(axes: "Axes", study: Study, theme: Theme) -> None:
    failed = [trial.number for trial in study.trials if trial.status == "Failed"]
    if failed:
        axes.scatter(
            failed, [0.03] * len(failed), s=_size(study), marker="x", color=theme.train,
            transform=axes.get_xaxis_transform(), label="failed", zorder=3,
        )  # fmt: skip


def best_so_far(study: Study) -> tuple[list[int], list[float]]:
    """Trials that were better than all completed ones before, by number, and their objectives."""
    numbers: list[int] = []
    values: list[float] = []
    for trial in scored(study):
        is_first = trial.status == "Completed" and not values
        if is_first or (
            trial.status == "Completed"
            and study.spec.objective.is_better(_value(trial), values[-1])
        ):
            numbers.append(trial.number)
            values.append(_value(trial))
    return numbers, values


def _value(trial: Trial) -> float:
    assert trial.objective is not None
    return trial.objective
