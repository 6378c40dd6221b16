"""Blame: whether what a trial failed by lies around all trials, or is its own."""

from collections.abc import Container

from contract.tuning import TuningSpec

# Where one of these is searched, another trial may do with the same pictures or weights.
_CAUSES = {
    "ChannelError": frozenset[str](),
    "DataError": frozenset({"max-unreadable", "num-classes", "seed", "validation-split"}),
    "WeightsError": frozenset({"arch"}),
}
OF_PICTURES = ("ChannelError", "DataError")
_CHANNELS = ("pretrained", "model")  # of weights, which fit some archs only


def lies_around(kind: str, spec: TuningSpec, channels: Container[str], *, is_proven: bool) -> bool:
    """The next trial would fail likewise, and this one's turn comes again.

    `kind`: the error's class; `is_proven`: a trial was completed, so pictures and weights are good.
    """
    if kind == "HostError":
        return True
    if is_proven or kind not in _CAUSES:
        return False
    causes = _CAUSES[kind]
    if kind == "WeightsError" and not any(name in channels for name in _CHANNELS):
        causes = frozenset()  # none could be fetched
    return not causes & spec.ranges.keys()
