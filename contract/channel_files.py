"""Channel files: which names in a channel's folder are pictures, and which nobody put there."""

import os

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ppm", ".avif"}
    | {".jp2"}
)
# What file managers, unzip, Spark and mounted disks leave behind.
_JUNK = frozenset({"__MACOSX", "_SUCCESS", "Thumbs.db", "desktop.ini", "lost+found"})
_JUNK_FILE_ENDINGS = ("-manifest", "_$folder$")  # SageMaker's key listing; Hadoop's folder keys


def is_picture_name(name: str) -> bool:
    """True when the name says that it is a picture; the content is looked at when decoding."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def is_hidden(name: str) -> bool:
    """True for a file or folder that is passed over in silence."""
    return name.startswith(".") or name in _JUNK


def is_junk_file(name: str) -> bool:
    """True for what S3 tools leave in the place of a folder; only files are called so."""
    return name.endswith(_JUNK_FILE_ENDINGS)
