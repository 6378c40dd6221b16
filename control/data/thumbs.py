"""Thumbs: small pictures as addresses that hold them, for a page."""

import io
import warnings

from contract.errors import ImageTooLargeError
from contract.page import to_data_uri
from control.data.look import DECODE_ERRORS, open_picture, read_place, to_rgb, upright
from control.data.pictures import Place

SIDE_PX = 280  # twice what the page shows, for dense screens
QUALITY = 72


def to_thumb(place: Place, turn: int) -> str:
    """A data URI of the upright picture; empty when it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd tags
            image = open_picture(read_place(place))
            image.draft("RGB", (SIDE_PX, SIDE_PX))
            small = to_rgb(image)
        small.thumbnail((SIDE_PX, SIDE_PX))
        buffer = io.BytesIO()
        upright(small, turn).save(buffer, "JPEG", quality=QUALITY)
    except (ImageTooLargeError, *DECODE_ERRORS):
        return ""
    return to_data_uri(buffer.getvalue(), "jpeg")
