"""A study as a person reads it: what would be searched, the trials so far, the best of them."""

from collections.abc import Sequence
from pathlib import Path

from contract.ranges import CategoricalRange, Range, text_for
from contract.setting import Value
from contract.study import Study, Trial
from contract.tuning import TuningSpec
from control.job_spec import flag_words
from control.runs import Run
from control.study_runs import NEWEST_BEST, StudyRun
from control.terminal import duration, table

MOST_ROWS = 60  # of a table on a terminal; the report has them all
SIGNIFICANT = ".4g"  # digits that a table has room for; the best is shown with all of its own


def search_lines(spec: TuningSpec) -> list[str]:
    """What is searched and how, for `--show`."""
    together = (
        "one at a time" if spec.max_parallel_jobs == 1 else f"{spec.max_parallel_jobs} at once"
    )
    trials = f"{spec.strategy}, {spec.num_jobs} trials"
    budget = f", {duration(spec.max_runtime_seconds)} at most" if spec.max_runtime_seconds else ""
    lines = [
        f"study            {spec.name}: {trials}, {together}{budget}",
        f"objective        {spec.objective.goal} {spec.objective.metric}",
        *(f"range            {key} = {range_text(key, one)}" for key, one in spec.ranges.items()),
    ]
    if spec.num_combinations is not None:
        lines.append(f"combinations     {spec.num_combinations}")
    if spec.hyperband:
        band = spec.hyperband
        lines.append(f"epochs of each   {band.min_resource} to {band.max_resource}")
    if spec.early_stopping == "Auto":
        lines.append("early stopping   Auto")
    lines += [f"completes when   {words}" for words in _criteria(spec)]
    if spec.warm_start:
        parents = ", ".join(spec.warm_start.parents)
        lines.append(f"warm start       from {parents} ({spec.warm_start.type})")
    return lines


def range_text(name: str, one: Range) -> str:
    """`0.001 to 0.1, Logarithmic` or `32 | 64`."""
    if isinstance(one, CategoricalRange):
        return " | ".join(text_for(name, value) for value in one.values)
    return f"{one.minimum} to {one.maximum}, {one.scaling}"


def study_text(
    found: StudyRun, job: Path | None = None, channels: Sequence[tuple[str, str]] = ()
) -> str:
    """The table of trials, the best of them, and what to do next.

    `job` is the base job's file, `channels` what the command line gave instead of the file's.
    """
    run, study = found.run, found.study
    if study is None or not study.trials:
        return "\n".join([_ended(run, study), f"folder:  {run.folder}"])
    lines = ["", trial_table(study, is_running=found.is_running), ""]
    if study.num_finished > MOST_ROWS:
        lines.insert(2, f"({study.num_finished - MOST_ROWS} more are in the report)")
    lines.append(_ended(run, study))
    best = study.best_trial
    if best is not None:
        lines.append(f"best:    trial {best.number}, {_objective(study, best)}")
        given = best.hyperparameters.items()
        lines += [f"           {name} = {text_for(name, value)}" for name, value in given]
    if study.importances:
        shares = sorted(study.importances.items(), key=lambda item: -item[1])
        lines.append("matters: " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    lines.append(f"folder:  {run.folder}")
    if run.report.is_file():
        lines.append(f"report:  {run.report}")
    return "\n".join([*lines, *_next_lines(found, job, channels)])


def trial_table(study: Study, *, is_running: bool = True) -> str:
    """One line a trial, `*` before the best; the best ones when there are too many."""
    trials: Sequence[Trial] = study.trials
    if len(trials) > MOST_ROWS:
        trials = sorted(_by_objective(study)[:MOST_ROWS], key=lambda trial: trial.number)
    header = (
        "",
        "trial",
        *study.spec.ranges,
        study.spec.objective.metric,
        "status",
        "epochs",
        "took",
    )
    return table(header, [_row(study, trial, is_running) for trial in trials])


def _by_objective(study: Study) -> list[Trial]:
    sign = -1.0 if study.spec.objective.maximize else 1.0
    worst = float("inf")
    return sorted(
        study.trials,
        key=lambda trial: worst if trial.objective is None else sign * trial.objective,
    )


def _row(study: Study, trial: Trial, is_running: bool) -> tuple[str, ...]:
    values = [(name, trial.hyperparameters.get(name)) for name in study.spec.ranges]
    is_running = is_running and study.status == "InProgress"
    waits = trial.status == "InProgress" and not is_running  # for the next session
    return (
        "*" if trial.number == study.best else "",
        str(trial.number),
        *(_short(name, value) for name, value in values),
        _short("", trial.objective),
        "Waiting" if waits else trial.status,
        str(len(trial.curves) or "-"),
        duration(trial.seconds),
    )


def _short(name: str, value: Value | None) -> str:
    if value is None:
        return "-"
    return format(value, SIGNIFICANT) if isinstance(value, float) else text_for(name, value)


def _objective(study: Study, trial: Trial) -> str:
    metric = study.spec.objective.metric
    others = {name: value for name, value in trial.metrics.items() if name != metric}
    shown = [f"{metric} {trial.objective:.4f}" if trial.objective is not None else metric]
    shown += [
        f"{name} {others[name]:.4f}"
        for name in ("validation:accuracy", "test:accuracy")
        if name in others
    ]
    return ", ".join(shown)


def _ended(run: Run, study: Study | None) -> str:
    """`study dogs-lr: Completed, 20 of 20 trials in 1 min 05 s`, and why when it was cut short."""
    if study is None:
        return f"study {run.name}: {run.status}, no trial yet{_because(run.failure_reason)}"
    status = run.status if run.status == "InProgress" else study.status
    if status == "InProgress" and run.status != "InProgress":
        status = run.status  # training had no time to write its last word
    trials = f"{study.num_finished} of {study.spec.num_jobs} trials"
    kinds = {kind: sum(t.status == kind for t in study.trials) for kind in ("Stopped", "Failed")}
    notes = [f"{count} {kind.lower()}" for kind, count in kinds.items() if count]
    if study.warm_trials:
        notes.append(f"{study.warm_trials} known before")
    extra = f" ({', '.join(notes)})" if notes else ""
    reason = study.reason or (run.failure_reason if status != "Completed" else None)
    took = duration(study.seconds)
    return f"study {run.name}: {status}, {trials}{extra} in {took}{_because(reason)}"


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _next_lines(
    found: StudyRun, job: Path | None, channels: Sequence[tuple[str, str]]
) -> list[str]:
    run, study = found.run, found.study
    if study is None or found.is_running:
        return []
    lines = []
    if study.bundle:
        lines.append(f"kennel serve {run.folder}")
    if study.best is not None:
        which = NEWEST_BEST if study.status == "Completed" else run.folder.name
        given = flag_words("--channel", channels)
        lines.append(f"kennel run {job or 'JOB.toml'} --from {which}{given}")
    if study.status != "Completed" and not run.aws:  # in AWS it would begin anew
        lines.append("the same command again continues this study")
    return [f"{'next:    ' if not i else '         '}{line}" for i, line in enumerate(lines)]


def _criteria(spec: TuningSpec) -> list[str]:
    wanted = spec.completion
    words = []
    if wanted.target_objective is not None:
        sign = ">=" if spec.objective.maximize else "<="
        words.append(f"{spec.objective.metric} {sign} {wanted.target_objective:g}")
    if wanted.not_improving is not None:
        words.append(f"{wanted.not_improving} trials in a row bring no gain of 1%")
    if wanted.on_convergence:
        words.append("nothing more is to be gained")
    return words
