"""LrAdvice: what a run of the learning rate finder suggests, read from where training left it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.files import read_json
from contract.opt_ml import OptMl

ADVICE_NAME = "lr_finder.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LrAdvice:
    """A learning rate to train with, and a range to search; no numbers where none is better."""

    suggested: float | None
    low: float | None
    high: float | None
    picture: Path  # loss over learning rate

    def to_json(self) -> dict[str, Any]:
        """Plain data for `-o json`."""
        return {
            "suggested": self.suggested,
            "range": None if self.low is None else [self.low, self.high],
            "picture": str(self.picture),
        }


def read_lr_advice(folder: Path) -> LrAdvice:
    """The advice in a run's folder. Raises SpecError: there is none, or none that we know."""
    data_dir = OptMl(folder).output_data_dir
    data = read_json(data_dir / ADVICE_NAME, SpecError)
    try:
        picture = data_dir / str(data["picture"])
        if data["suggested"] is None:
            return LrAdvice(suggested=None, low=None, high=None, picture=picture)
        low, high = data["range"]
        return LrAdvice(
            suggested=float(data["suggested"]), low=float(low), high=float(high), picture=picture
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"{data_dir / ADVICE_NAME} is not one we know: {error!r}") from error


def advice_text(advice: LrAdvice, job: Path, given: str = "") -> str:
    """For a person: the value, the range as a tuning description has it, the next command.

    `given`: further flags of that command.
    """
    if advice.suggested is None:
        return "\n".join(
            [
                "lr:      none is suggested: the loss fell by no more than its noise",
                f"picture: {advice.picture}",
            ]
        )
    return "\n".join(
        [
            f"lr:      {advice.suggested:.3g}",
            f"search:  lr = {{ min = {advice.low:.3g}, max = {advice.high:.3g} }}",
            f"picture: {advice.picture}",
            f"next:    kennel run {job} --set lr={advice.suggested:.3g}{given}",
        ]
    )
