"""Limit: the least that decoding and computing can take here, from the program benchmarks.bare."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.layout import MODEL, PICTURES, cpu_only
from benchmarks.process import STOP_SECONDS
from benchmarks.servers import ROOT
from contract.host import cpu_limit

BATCHES = (1, 2, 4, 8)
TRIAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds a picture, with all processors busy: by the clock, and of processor time."""

    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many calls compute at once, and how many pictures each takes."""

    lanes: int
    batch: int


class Limit:
    """The other end of benchmarks.bare."""

    def __init__(self, model: Path, variant: str = "auto") -> None:
        command = [sys.executable, "-m", "benchmarks.bare", str(model / MODEL), variant]
        self._process = subprocess.Popen(
            [*command, str(model / PICTURES)],
            cwd=ROOT,
            env=cpu_only(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._ask(what="facts")
        self.layout = Layout(lanes=cpu_limit(), batch=1)
        self.server_layout = Layout(lanes=cpu_limit(), batch=self.facts["batch_size"])
        self.trials: list[tuple[Layout, float]] = []

    def find_layout(self) -> None:
        """Try every layout once and keep the fastest."""
        for lanes in sorted({1, cpu_limit()}):
            for batch in BATCHES:
                layout = Layout(lanes=lanes, batch=batch)
                self.trials.append((layout, self.infer(TRIAL_SECONDS, layout).wall_ms))
        self.layout = min(self.trials, key=lambda trial: trial[1])[0]

    def infer(self, seconds: float, layout: Layout | None = None) -> Cost:
        """Computing, in the best layout that is known or the one given."""
        chosen = layout or self.layout
        return _cost(
            self._ask(what="infer", lanes=chosen.lanes, batch=chosen.batch, seconds=seconds)
        )

    def decode(self, seconds: float) -> Cost:
        """Decoding, in as many threads as there are processors."""
        return _cost(self._ask(what="decode", threads=cpu_limit(), seconds=seconds))

    def stop(self) -> None:
        """May be repeated."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=STOP_SECONDS)

    def _ask(self, **asked: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("benchmarks.bare ended; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _cost(answer: dict[str, float]) -> Cost:
    pictures = answer["pictures"]
    return Cost(
        wall_ms=answer["seconds"] / pictures * 1e3,
        cpu_ms=answer["cpu_seconds"] / pictures * 1e3,
    )
