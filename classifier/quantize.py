"""Quantize: a graph in int8, calibrated on pictures. The only file that imports nncf."""

import contextlib
import io
import logging
from collections.abc import Sequence
from typing import Any

from classifier.openvino_engine import import_openvino
from classifier.preprocess import Pixels
from contract.errors import QuantizeError

# Statistics of activations hardly move after this many pictures, and each costs a slow pass.
CALIBRATION_PICTURES = 64


def quantize(graph: Any, pictures: Sequence[Pixels]) -> Any:
    """A copy of `graph` whose convolutions and linear layers compute in int8.

    Post-training quantisation with fast bias correction. The same pictures give the same weights.

    Args:
        graph: an openvino.Model, uint8 (N, H, W, 3) in.
        pictures: each uint8 (H, W, 3), as the network sees them; CALIBRATION_PICTURES suffice.

    Raises QuantizeError.
    """
    import_openvino()  # first: it keeps the telemetry of both out
    with _quiet():
        import nncf

        # Not by set_log_level, which mutes every handler it finds there, also those of others.
        logging.getLogger("nncf").setLevel(logging.ERROR)
        try:
            return nncf.quantize(
                graph,
                nncf.Dataset([picture[None] for picture in pictures]),
                subset_size=len(pictures),
            )
        # What it raises for graphs that it does not know: its errors have no common base.
        except (RuntimeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise QuantizeError(" ".join(str(error).split())[:200]) from error


@contextlib.contextmanager
def _quiet() -> Any:
    """nncf draws bars on stdout, and torch's build helpers log that there is no compiler."""
    helpers = logging.getLogger("torch.utils.cpp_extension")
    level = helpers.level
    helpers.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        helpers.setLevel(level)
