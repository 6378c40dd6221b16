"""Limits: what one picture may cost, in training and in serving."""

from dataclasses import dataclass

from contract.errors import ImageTooLargeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one picture may cost. The pixel limit is checked before anything is decoded."""

    max_bytes: int = 100 * 1024 * 1024
    max_pixels: int = 64_000_000  # a 48-megapixel phone picture fits
    max_frames: int = 1000  # frames or pages; only the first is read

    def check_bytes(self, num_bytes: int) -> None:
        """Raises ImageTooLargeError."""
        if num_bytes > self.max_bytes:
            raise ImageTooLargeError(
                f"the picture has {num_bytes:,} bytes; the limit is {self.max_bytes:,}"
            )


DEFAULT_LIMITS = Limits()
