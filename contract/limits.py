"""Limits: what one picture may cost, in training and in serving."""

from dataclasses import dataclass

from contract.errors import ImageTooLargeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one picture may cost. The pixel limit is checked before anything is decoded."""

    max_bytes: int = 100 * 1024 * 1024
    max_pixels: int = 64_000_000  # a 48-megapixel phone picture fits
    max_side: int = 65_535  # the most that a JPEG can have; a row costs memory however short it is
    max_frames: int = 1000  # frames or pages; only the first is read

    def check_bytes(self, num_bytes: int) -> None:
        """Raises ImageTooLargeError."""
        if num_bytes > self.max_bytes:
            raise ImageTooLargeError(
                f"the picture has {num_bytes:,} bytes; the limit is {self.max_bytes:,}"
            )

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageTooLargeError."""
        if width * height > self.max_pixels:
            raise ImageTooLargeError(
                f"the picture has {width} x {height} = {width * height:,} pixels; "
                f"the limit is {self.max_pixels:,}"
            )
        if max(width, height) > self.max_side:
            raise ImageTooLargeError(
                f"the picture has {width} x {height} pixels; a side may have {self.max_side:,}"
            )


DEFAULT_LIMITS = Limits()
