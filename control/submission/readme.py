"""README: the headings that a reviewer asks for, filled from what ran. TODO stands where an opinion
is asked, and where nothing ran.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from control.submission.card import cards_markdown
from control.submission.cards import cards_of
from control.submission.material import Material
from control.submission.tables import (
    classes_table,
    number,
    predictions_table,
    ranges_table,
    table_of,
    trials_table,
)
from control.terminal import duration

NOT_RUN = "TODO: this has not been run yet; see [the checklist](checklist.md)."


def to_readme(course: str, material: Material, folder: Path) -> str:
    """README.md of a package whose other files are in `folder`."""
    page = _Page(material=material, folder=folder)
    title, sections = SECTIONS[course]
    parts = [f"# {title}"]
    for heading, write in sections:
        level, _, words = heading.partition(" ")
        parts += [f"{level} {words}", *(write(page) or [NOT_RUN])]
    return "\n\n".join(parts) + "\n"


class _Page:
    def __init__(self, *, material: Material, folder: Path) -> None:
        self.material, self.folder = material, folder

    def has(self, name: str) -> bool:
        """Whether the package has this file."""
        return (self.folder / name).is_file()

    def picture(self, name: str, what: str) -> list[str]:
        """The picture, if there is one."""
        return [f"![{what}]({name})"] if self.has(name) else []

    def link(self, name: str, what: str) -> list[str]:
        """A link, if the file is there."""
        return [f"[{what}]({name})"] if self.has(name) else []

    def text(self, name: str) -> list[str]:
        """A file's words as they are."""
        if not self.has(name):
            return []
        words = (self.folder / name).read_text(encoding="utf-8").strip()
        return [f"```text\n{words}\n```"]


Writer = Callable[[_Page], Sequence[str]]


def _setup(page: _Page) -> list[str]:
    files = {
        "notebook/": "the notebook, from data to clean-up",
        "scripts/": "what was run, to run again (`kennel run scripts/job.toml`), and sample code",
        "tables/": "trials, ranges, metrics, classes and predictions as CSV",
        "reports/": "study, training and profiler as pages; the debugger's findings",
        "cards/": "one card for each job, the study and the endpoint, made from the API",
        "evidence/": "what commands answered, as they answered it",
        "logs/": "the job's own log",
    }
    there = [(f"`{name}`", what) for name, what in files.items() if (page.folder / name).is_dir()]
    return [
        "Install Kennel (`make setup`), put the pictures where `scripts/job.toml` says, and type "
        "the commands of the checklist.",
        table_of(("folder", "what is in it"), there).markdown,
    ]


def _dataset(page: _Page) -> list[str]:
    check = page.material.evidence.of("data")
    if not check:
        return []
    splits = ", ".join(f"{found['pictures']:,} in {n}" for n, found in check["splits"].items())
    table = classes_table(check)
    shown = table.markdown if len(table.rows) <= 20 else "[All classes](tables/classes.csv)"
    findings = [f"- {one['text']}" for one in check.get("findings", ())]
    return [
        f"{check['pictures']:,} pictures of {len(table.rows)} classes: {splits}.",
        *page.picture("images/classes.png", "Pictures of each class"),
        shown,
        *(["\n".join(["What the check found:", "", *findings])] if findings else []),
        "TODO: where the pictures come from, and why these.",
    ]


def _access(page: _Page) -> list[str]:
    pushed = page.material.evidence.of("push")
    run = page.material.run
    if not run and not pushed:
        return []
    rows = list((pushed.get("channels") or (run.channels if run else {})).items())
    where = "in S3" if pushed else "where they were read"
    return [f"The channels {where}:", table_of(("channel", "where"), rows).markdown]


def _tuning(page: _Page) -> list[str]:
    study, found = page.material.trials, page.material.study
    if not study or not found:
        return []
    best = study.best_trial
    told = (
        ", ".join(f"`{name}` {number(value)}" for name, value in best.hyperparameters.items())
        if best
        else ""
    )
    arch = study.spec.static.get("arch", "the default network")
    return [
        f"{arch}; {study.spec.strategy} search for the "
        f"{'lowest' if study.spec.objective.goal == 'Minimize' else 'highest'} "
        f"{study.spec.objective.metric}, {len(study.trials)} trials in {duration(study.seconds)}.",
        "TODO: why this network for these pictures, and why these ranges.",
        ranges_table(study).markdown,
        trials_table(study).markdown,
        *([f"Best: trial {best.number} with {told}, {number(best.objective)}."] if best else []),
        *page.picture("images/study.png", "Trials by their values"),
        *page.link("reports/study.html", "The study's page"),
        *page.picture("cards/tuning.svg", "The tuning job"),
    ]


def _training(page: _Page) -> list[str]:
    run = page.material.run
    if not run:
        return []
    metrics = [(name, f"{value:.4f}") for name, value in run.metrics.items()]
    cards = {
        f"cards/{name}": card
        for name, card in cards_of(page.material).items()
        if name.startswith("job-")
    }
    return [
        f"`{run.folder.name}`: {run.status} in {duration(run.seconds)}.",
        table_of(("metric", "last value"), metrics).markdown,
        *page.picture("images/curves.png", "Loss and accuracy over the epochs"),
        *page.picture("images/confusion.png", "Confusion of the classes"),
        *page.link("reports/training.html", "The report of the training"),
        cards_markdown(list(cards.items())),
    ]


def _debugging(page: _Page) -> list[str]:
    run = page.material.run
    if not run or not run.rules:
        return []
    rows = [(one["name"], one["status"], one.get("summary", "")) for one in run.rules]
    return [
        table_of(("rule", "status", "what it saw"), rows).markdown,
        *page.picture("images/debugger.png", "The loss as the debugger saved it"),
    ]


def _results(page: _Page) -> list[str]:
    told = [*page.text("reports/findings.txt"), *page.text("reports/profiler.txt")]
    if not told:
        return []
    return [
        *told,
        *page.link("reports/profiler-report.html", "The profiler's report"),
        "TODO: what you would change because of this.",
    ]


def _deployment(page: _Page) -> list[str]:
    evidence = page.material.evidence
    deployed, predicted = evidence.of("deploy"), evidence.of("predict")
    if not deployed and not predicted:
        return []
    code = (page.folder / "scripts/ask_endpoint.py").read_text(encoding="utf-8").strip()
    return [
        *page.picture("cards/endpoint.svg", "The endpoint"),
        *([] if deployed else ["Served on this machine; " + NOT_RUN]),
        *([predictions_table(predicted).markdown] if predicted else []),
        *page.picture("images/predictions.png", "Pictures with their answers"),
        f"How to ask it ([script](scripts/ask_endpoint.py)):\n\n```python\n{code}\n```",
    ]


def _document(kind: str, *names: str) -> Writer:
    """Some facts of a command's document."""

    def write(page: _Page) -> list[str]:
        found: Mapping[str, object] = page.material.evidence.of(kind)
        rows = [(name, str(found[name])) for name in names if found.get(name) is not None]
        if not found:
            return []
        table = [table_of(("", ""), rows).markdown] if rows else []
        return [*table, f"[What the command answered](evidence/{kind}.json)"]

    return write


def _standouts(page: _Page) -> list[str]:
    told = {
        "batch": "batch transform",
        "deploy-multi": "many models behind one endpoint",
        "lambda-deploy": "a Lambda function before the endpoint",
        "lambda-test": "what the function answered",
        "scale-show": "autoscaling",
        "scaling": "scaling, played beforehand",
    }
    there = [
        f"- [{what}](evidence/{kind}.json)"
        for kind, what in told.items()
        if page.material.evidence.of(kind)
    ]
    return ["\n".join(there) if there else "Nothing beyond this was run."]


def _machines(page: _Page) -> list[str]:
    links = {
        "tables/jobs.csv": "All jobs: machines, seconds, cost",
        "tables/jobs-several.csv": "Those on several machines",
        "tables/jobs-ec2.csv": "Those on EC2",
    }
    told = [f"- [{what}]({name})" for name, what in links.items() if page.has(name)]
    if not told:
        return []
    return ["\n".join(told), "TODO: why these instance types, and what the comparison says."]


def _security(page: _Page) -> list[str]:
    told = _document("iam")(page)
    return [*told, "TODO: which roles are left over or too wide, and why."] if told else []


def _cleanup(page: _Page) -> list[str]:
    found = page.material.evidence.of("cleanup")
    if not found:
        return []
    gone, left = len(found.get("removed", ())), len(found.get("left", ()))
    return [f"{gone} things were removed, {left} are left. [The list](evidence/cleanup.json)"]


_COMMON: tuple[tuple[str, Writer], ...] = (
    ("## Project set up and installation", _setup),
    ("## Dataset", _dataset),
    ("### Access", _access),
)
SECTIONS: Mapping[str, tuple[str, tuple[tuple[str, Writer], ...]]] = {
    "image-classification": (
        "Image classification using AWS SageMaker",
        (
            *_COMMON,
            ("## Hyperparameter tuning", _tuning),
            ("## Training", _training),
            ("## Debugging and profiling", _debugging),
            ("### Results", _results),
            ("## Model deployment", _deployment),
            ("## Clean-up", _cleanup),
            ("## Standout suggestions", _standouts),
        ),
    ),
    "ops": (
        "Operationalising an image classifier on AWS",
        (
            *_COMMON,
            ("## Training and deployment", _training),
            ("### Machines and EC2", _machines),
            ("### Endpoint", _deployment),
            ("## Lambda function", _document("lambda-deploy", "name", "endpoint", "arn", "url")),
            ("### Its test", _document("lambda-test")),
            ("## Security", _security),
            (
                "## Concurrency",
                _document("lambda-deploy", "provisioned_concurrency", "reserved_concurrency"),
            ),
            ("## Auto-scaling", _document("scale-show")),
            ("## Clean-up", _cleanup),
        ),
    ),
}
