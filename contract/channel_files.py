"""Channel files: which names are pictures, which are files at all, and which nobody put there."""

import os

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ppm", ".avif"}
    | {".jp2"}
)
ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LISTS = (".manifest", ".json", ".jsonl", ".csv", ".lst", ".txt")
_RECORDS = (".rec", ".recordio", ".tfrecord", ".parquet", ".npy")
_WEIGHTS = (".pth", ".pt", ".bin", ".safetensors", ".onnx")
FILE_ENDINGS = (*sorted(PICTURE_SUFFIXES), *ARCHIVE_ENDINGS, *_LISTS, *_RECORDS, *_WEIGHTS)
# What file managers, unzip, Spark and mounted disks leave behind.
_JUNK = frozenset({"__MACOSX", "_SUCCESS", "Thumbs.db", "desktop.ini", "lost+found"})
_JUNK_FILE_ENDINGS = ("-manifest", "_$folder$")  # SageMaker's key listing; Hadoop's folder keys


def is_picture_name(name: str) -> bool:
    """True when the name says that it is a picture; the content is looked at when decoding."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def is_file_name(name: str) -> bool:
    """True when the name says that it is one file, and not a folder such as `dogs.v2`."""
    return name.lower().endswith(FILE_ENDINGS)


def is_hidden(name: str) -> bool:
    """True for a file or folder that is passed over in silence."""
    return name.startswith(".") or name in _JUNK


def is_junk_file(name: str) -> bool:
    """True for what S3 tools leave in the place of a folder; only files are called so."""
    return name.endswith(_JUNK_FILE_ENDINGS)
