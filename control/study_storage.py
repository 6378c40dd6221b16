"""Study storage: the database that --storage names, and whether it is the one of a study."""

import re

from contract.errors import UsageError
from contract.study import STORAGE_NAME
from control.study_runs import StudyRun, is_finished
from control.tuning_file import Tuning

URL = re.compile(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://\S+", re.IGNORECASE)
# The password of a database's URL, which may hold any sign, and one among its options.
SECRET = re.compile(r"(?<=:)(?!//).+(?=@)|(?<=password=)[^&]+")
EXAMPLE = "postgresql+psycopg://USER@HOST/NAME"


def shown(url: str) -> str:
    """Without the password."""
    return SECRET.sub("***", url)


def check_url(url: str) -> None:
    """Raises UsageError: no database is called so. Whether one answers is seen later."""
    if not URL.fullmatch(url):
        raise UsageError(f"--storage: expected the URL of a database, e.g. {EXAMPLE}, got {url!r}")


def check_storage(found: StudyRun, tuning: Tuning, url: str | None) -> None:
    """Raises UsageError: the study is not where this command says, and would begin anew there.

    A study that has ended is shown without --storage, wherever it is.
    """
    if found.study is None or not found.study.trials:
        return  # the database that it never reached may have been called wrongly
    has_ended = is_finished(found, tuning.spec)
    theirs = _storage_of(found)
    if theirs is None or (has_ended and not url) or _database(url or "") == _database(theirs):
        return
    state = "has ended" if has_ended else "was begun"
    where = f"in {theirs}" if theirs else f"in a file of its own, checkpoints/{STORAGE_NAME}"
    is_left_out = has_ended or not theirs
    again = "leave --storage out" if is_left_out else f"give --storage {theirs}"
    raise UsageError(
        f"{found.run.folder} is this study and {state} {where}: "
        f"{again}{' to see it' if has_ended else ' to go on'}, or begin another one with --name"
    )


def _storage_of(found: StudyRun) -> str | None:
    """Without a password; empty: the run's own file. None: nobody knows."""
    own = found.run.folder / "checkpoints" / STORAGE_NAME
    return found.run.storage or ("" if own.is_file() else None)


def _database(url: str) -> tuple[str, str]:
    """Its kind and name. Its host may be called otherwise, from inside a container for example."""
    driver, _, rest = shown(url).partition("://")
    return driver.partition("+")[0].lower(), rest.partition("?")[0].rpartition("/")[2]
