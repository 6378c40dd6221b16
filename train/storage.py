"""Storage: the database of a study. A file of this job's own, or one that several hosts share."""

import logging
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from contract.errors import HostError, SpecError
from contract.files import cannot_write, replacing
from contract.tuning import STORAGE_VARIABLE

_RETRY_SECONDS = 0.5
_LOCK_SECONDS = 60  # for others to finish what they write into a shared file
HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a study's database is, and when others count as dead."""

    url: str
    is_shared: bool  # by other hosts; otherwise nobody else uses it
    heartbeat_seconds: int = HEARTBEAT_SECONDS
    grace_seconds: int = GRACE_SECONDS  # after the last heartbeat of a trial its host is dead
    open_seconds: float = 15.0  # a server may be starting, or another host making the tables

    @classmethod
    def of_file(cls, path: Path) -> "Place":
        """A file of this job's own."""
        return cls(url=f"sqlite:///{path}", is_shared=False)

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return make_url(self.url).render_as_string(hide_password=True)


def connect(place: Place) -> RDBStorage:
    """Open the database; its tables are made when they are missing.

    Raises SpecError: the URL is none. HostError: no driver, or nobody answers.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    deadline = time.monotonic() + place.open_seconds
    while True:
        try:
            return _open(place)
        except (ArgumentError, NoSuchModuleError) as error:
            raise SpecError(
                f"{STORAGE_VARIABLE}: expected the URL of a database such as "
                "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or sqlite:////FOLDER/study.db: "
                f"{_line(error)}"
            ) from error
        except ImportError as error:
            raise HostError(f"{STORAGE_VARIABLE}: no driver for {place.shown}: {error}") from error
        except (SQLAlchemyError, StorageInternalError) as error:
            if time.monotonic() > deadline:
                raise _failure(place, error) from error
            logging.getLogger(__name__).debug("%s: trying again", error)
        time.sleep(_RETRY_SECONDS)


def _open(place: Place) -> RDBStorage:
    with quiet():
        storage = RDBStorage(
            place.url,
            {"pool_pre_ping": True, "connect_args": _connect_args(place)},
            heartbeat_interval=place.heartbeat_seconds,
            grace_period=place.grace_seconds,
        )
    if storage.engine.dialect.name == "sqlite":
        _serialize(storage.engine, is_durable=place.is_shared)
    return storage


def _connect_args(place: Place) -> dict[str, Any]:
    return {"timeout": _LOCK_SECONDS} if make_url(place.url).drivername == "sqlite" else {}


def _serialize(engine: Engine, *, is_durable: bool) -> None:
    """Every transaction takes SQLite's lock at its start.

    Otherwise two processes could read that a trial is free, and both take it.
    Source: SQLAlchemy's page on SQLite, serializable isolation.
    """

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # Python would begin transactions at the first write
        if not is_durable:  # what must last is the copy among the checkpoints
            connection.execute("PRAGMA synchronous=OFF")

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    engine.dispose()  # connections that were made without


@contextmanager
def database(place: Place) -> Iterator[None]:
    """Turns the database's failures into HostError, and keeps optuna's warnings to itself."""
    try:
        with quiet():
            yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _failure(place, error) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without optuna's warnings: that heartbeats are experimental, that a step was reported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def copy_file(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite file that is in use; `target` is replaced in one step.

    Raises HostError on a full disk.
    """
    with (
        replacing(target) as temporary,
        closing(sqlite3.connect(source)) as here,
        closing(sqlite3.connect(temporary)) as there,
    ):
        try:
            here.backup(there)
        except sqlite3.Error as error:  # not an OSError, also for a full disk
            raise cannot_write(target, error) from error


def _failure(place: Place, error: BaseException) -> HostError:
    cause = error.__cause__ or error
    return HostError(
        f"the study's database {place.shown} does not work: {_line(cause)}; when it does, the same "
        "command continues the study"
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).partition("[SQL")[0].split())[:300]
