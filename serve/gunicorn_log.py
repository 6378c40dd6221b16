"""gunicorn's logger without its access log, which would be written for nobody."""

from typing import Any

from gunicorn.glogging import Logger


class QuietLogger(Logger):  # type: ignore[misc]
    """Requests are logged by the application, as JSON."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing. gunicorn would put the line together, since there is a log configuration."""
