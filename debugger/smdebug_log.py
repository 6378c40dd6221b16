"""smdebug's log: a user's rule speaks through it, and smdebug itself says more than is wanted.

It writes to stdout, drops a message after its third time, and calls a method that is deprecated.
"""

import logging

NAME = "smdebug"
_OWN = f"-packages/{NAME}/"  # in the path of its own files


def hand_over_logs() -> None:
    """Its lines go where ours go, every time; of its own only warnings."""
    logger = logging.getLogger(NAME)
    logger.handlers[:] = [_PassOn()]
    logger.filters[:] = [_only_users]
    # A hook in this process may have let through less: smdebug sets its level once, when imported.
    logger.setLevel(logging.INFO)
    logger.disabled = False
    logger.warn = logger.warning  # type: ignore[method-assign]


class _PassOn(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("debugger").handle(record)


def _only_users(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or _OWN not in record.pathname
