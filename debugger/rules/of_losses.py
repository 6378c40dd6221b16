"""OfLosses: what the rules over losses have in common."""

from abc import abstractmethod

from contract.rule_result import Finding
from debugger.rules.losses import Losses
from debugger.rules.rule import TensorRule
from debugger.saved import Moment


class OfLosses(TensorRule):
    """Takes the losses in step by step; a subclass judges what became known."""

    def start(self) -> None:
        """Where to look, and from which step on."""
        self._losses = Losses(self.saved, self._names)
        self._begin: int | None = None

    def look(self, moment: Moment) -> Finding | None:
        """Judge what is over by now."""
        if self._begin is None:
            self._begin = moment.step
        self._losses.advance(moment.step)
        return self._judge()

    def finish(self) -> Finding | None:
        """The last evaluation is over, too."""
        self._losses.close()
        return self._judge()

    @abstractmethod
    def _names(self, step: int) -> list[str]:
        """Of a subclass."""

    @abstractmethod
    def _judge(self) -> Finding | None:
        """Of a subclass."""
