"""Hostile and unusual pictures, by file name. What a name says: tests/hostile/README.md."""

import struct

import numpy as np
from encoders import (
    bmp,
    chunk,
    deflated_zeros,
    encode,
    gif,
    ico,
    jpeg2000,
    jpeg_of_scans,
    npy,
    png,
    png_of_zeros,
    red,
    segment,
    tiff,
    tiff_of,
    webp,
)
from PIL import Image, features

ORIENTATION, COPYRIGHT = 0x0112, 0x8298
FORMATS = {
    "jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tiff": "TIFF", "bmp": "BMP",
    "ppm": "PPM", "jp2": "JPEG2000", "ico": "ICO", "avif": "AVIF",
}  # fmt: skip
CUTS = (1, 3, 8, 13, 25)
ZIP = b"PK\x05\x06" + b"\0" * 18


def of_every_format():
    """Ending -> a small red picture."""
    names = {end: form for end, form in FORMATS.items() if end != "avif" or features.check("avif")}
    return {end: encode(red(32, 32), form) for end, form in names.items()}


def exif(orientation=None, **tags):
    block = Image.Exif()
    if orientation:
        block[ORIENTATION] = orientation
    for name, value in tags.items():
        block[{"copyright": COPYRIGHT}[name]] = value
    return block


def accepted():
    found = {f"red-plain.{end}": data for end, data in of_every_format().items()}
    for turn in range(1, 9):
        found[f"red-exif-{turn}.jpg"] = encode(red(), "JPEG", exif=exif(turn))
    deep = np.full((30, 40), 40_000, np.uint16)
    jpeg = encode(red(), "JPEG")
    found |= {
        "red-cmyk.jpg": encode(red(mode="CMYK"), "JPEG"),
        "red-cmyk.tiff": encode(red(mode="CMYK"), "TIFF"),
        "red-lab.tiff": encode(red(mode="LAB"), "TIFF"),
        "red-progressive.jpg": encode(red(), "JPEG", progressive=True),
        "red-palette.png": encode(red().quantize(4), "PNG"),
        "red-palette-transparent.png": encode(red().quantize(4), "PNG", transparency=0),
        "red-alpha.png": encode(red(mode="RGBA"), "PNG"),
        "red-alpha.webp": encode(red(mode="RGBA"), "WEBP", lossless=True),
        "red-one-pixel.png": encode(red(1, 1), "PNG"),
        "red-one-row.png": encode(red(20_000, 1), "PNG"),
        "red-one-column.png": encode(red(1, 20_000), "PNG"),
        "red-999-frames.gif": gif(999),
        "red-999-frames.webp": webp(8, 8, 999),
        "red-many-text-chunks.png": png(before=chunk(b"tEXt", b"a\0b") * 3000),
        "red-many-empty-idat.png": png(before=chunk(b"IDAT") * 3000),
        "red-unknown-chunk.png": png(before=chunk(b"haRm", b"x" * 100)),
        "red-exif-that-leads-in-circles.jpg": encode(red(), "JPEG", exif=_circular_exif()),
        "red-exif-of-nonsense.jpg": encode(red(), "JPEG", exif=b"Exif\0\0" + b"\xff" * 100),
        "red-exif-with-html.jpg": encode(
            red(), "JPEG", exif=exif(copyright="<script>alert(1)</script>")
        ),
        "red-gifar.gif": encode(red(), "GIF") + ZIP,
        "red-jpeg-with-a-zip-behind.jpg": jpeg + ZIP,
        "red-jpeg-with-a-pdf-inside.jpg": jpeg[:2] + segment(0xFE, b"%PDF-1.4 %%EOF") + jpeg[2:],
        "red-jpeg-called-png.png": jpeg,
        "red-png-called-jpeg.jpg": encode(red(), "PNG"),
        "grey-90-scans.jpg": jpeg_of_scans(64, 90),
        "grey-16-bit.png": encode(Image.fromarray(deep), "PNG"),
        "grey-16-bit.tiff": encode(Image.fromarray(deep), "TIFF"),
        "grey-32-bit.tiff": encode(Image.fromarray(deep.astype(np.int32)), "TIFF"),
        "grey-1-bit.png": encode(red(mode="1"), "PNG"),
        "grey-float-with-nan-and-inf.tiff": encode(Image.fromarray(_odd_floats()), "TIFF"),
        "grey-16-bit-of-16-million-pixels.png": png_of_zeros(4000, 4000, 16, 0),
    }
    return found


def refused():
    found = {}
    for end, data in of_every_format().items():
        for cut in CUTS:
            found[f"400-ImageError-cut-to-{cut}-bytes.{end}"] = data[:cut]
        found[f"400-ImageError-cut-in-half.{end}"] = data[: len(data) // 2]
        found[f"400-ImageError-wrong-magic.{end}"] = b"\xff" * 12 + data[12:]
    return found | _too_large() | _damaged() | _no_pictures()


def _too_large():
    big = "413-ImageTooLargeError"
    return {
        f"{big}-64k-x-64k-header.png": png(65535, 65535, data=b""),
        f"{big}-2-billion-x-2-billion.png": png(2**31 - 1, 2**31 - 1, data=b""),
        f"{big}-16k-x-16k-of-one-bit.png": png_of_zeros(16384, 16384, 1, 0),
        f"{big}-8001-x-8001.png": png_of_zeros(8001, 8001, 1, 0),
        f"{big}-64k-x-64k.jpg": encode(red(), "JPEG").replace(
            struct.pack(">HH", 30, 40), b"\xff\xff\xff\xff", 1
        ),
        f"{big}-16k-x-16k.webp": webp(16384, 16384),
        f"{big}-64k-x-64k.gif": gif(1, canvas=(65535, 65535)),
        f"{big}-frame-larger-than-canvas.gif": gif(1, width=65535, height=65535),
        f"{big}-2-billion-wide.tiff": tiff_of(2**31 - 1, 1),
        f"{big}-64k-x-64k.tiff": tiff_of(65535, 65535, 8),
        f"{big}-64k-x-64k.bmp": bmp(65535, 65535),
        f"{big}-negative-width.bmp": bmp(-8, 8),
        f"{big}-64k-x-64k.jp2": jpeg2000(65535, 65535),
        f"{big}-99999-x-99999.ppm": b"P6 99999 99999 255\n",
        f"{big}-13k-x-13k-inside.ico": ico(png_of_zeros(13000, 13000, 1, 0)),
        f"{big}-1-x-100000.png": png_of_zeros(1, 100_000, 1, 0),
        f"{big}-65535-tiles.jp2": jpeg2000(255, 257, (1, 1)),
        f"{big}-1000-scans.jpg": jpeg_of_scans(4000, 1000),
        f"{big}-5000-frames.gif": gif(5000),
        f"{big}-1001-frames.webp": webp(8, 8, 1001),
        f"{big}-2-billion-frames.png": png(before=chunk(b"acTL", struct.pack(">II", 2**31, 0))),
        f"{big}-1001-pages.tiff": tiff_of(8, 8, pages=1001),
    }


def _damaged():
    bad = "400-ImageError"
    bomb = deflated_zeros(40 << 20)
    jpeg = encode(red(), "JPEG")
    return {
        f"{bad}-text-chunk-of-40-mb.png": png(before=chunk(b"zTXt", b"a\0\0" + bomb)),
        f"{bad}-text-chunk-of-40-mb-at-the-end.png": png(after=chunk(b"zTXt", b"a\0\0" + bomb)),
        f"{bad}-international-text-of-40-mb.png": png(before=chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)),
        f"{bad}-colour-profile-of-40-mb.png": png(before=chunk(b"iCCP", b"a\0\0" + bomb)),
        f"{bad}-100-text-chunks-of-1-mb.png": png(
            before=chunk(b"zTXt", b"a\0\0" + deflated_zeros(1 << 20)) * 100
        ),
        f"{bad}-chunk-of-4-gb.png": png(before=chunk(b"tEXt", b"a\0b", length=2**32 - 1)),
        f"{bad}-wrong-checksum.png": png(before=chunk(b"IHDR", b"\0" * 13, checksum=0)),
        f"{bad}-no-pixels.png": png(8000, 8000, data=b""),
        f"{bad}-no-size.png": png(0, 0),
        f"{bad}-no-pixels.bmp": bmp(8000, 8000),
        f"{bad}-runs-without-end.bmp": bmp(64, 64, bits=8, compression=1, data=b"\0\2\xff" * 20),
        f"{bad}-no-pixels.ppm": b"P6 8000 8000 255\n",
        f"{bad}-endless-number.ppm": b"P6 " + b"9" * 5000,
        f"{bad}-no-size.jpg": jpeg.replace(struct.pack(">HH", 30, 40), b"\0\0\0\0", 1),
        f"{bad}-segment-longer-than-file.jpg": jpeg[:2] + b"\xff\xe1\xff\xff" + jpeg[2:],
        f"{bad}-two-thousand-empty-segments.jpg": jpeg[:2] + segment(0xE0, b"") * 2000,
        f"{bad}-strip-that-is-not-there.tiff": tiff_of(8000, 8000),
        f"{bad}-lzw-of-nothing.tiff": tiff_of(800, 800, 5),
        f"{bad}-offset-beyond-the-end.tiff": tiff_of(8, 8, offset=(273, 4, 1, 2**32 - 1)),
        f"{bad}-a-billion-strips.tiff": tiff_of(8, 8, offset=(273, 4, 10**9, 8)),
        f"{bad}-pages-in-a-circle.tiff": tiff([(256, 4, 1, 8), (257, 4, 1, 8)], 1, loops=True),
        f"{bad}-no-pixels.jp2": jpeg2000(64, 64),
        f"{bad}-more-components-than-it-says.jp2": jpeg2000(64, 64, components=200),
        f"{bad}-icon-inside-an-icon.ico": ico(ico(png())),
        f"{bad}-icon-of-nothing.ico": ico(b""),
        f"{bad}-no-frames.gif": gif(0),
    }


def _no_pictures():
    no = "400-ImageError"
    return {
        f"{no}-zeros.bin": bytes(1000),
        f"{no}-ones.bin": b"\xff" * 1000,
        f"{no}-text.bin": b"What is this dog? " * 20,
        f"{no}-page.bin": b"<!doctype html><img src=x onerror=alert(1)>",
        f"{no}-text-called-jpeg.jpg": b"no picture at all",
        f"{no}-document.bin": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
        f"{no}-postscript-that-runs.bin": (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n"
        ),
        f"{no}-drawing-with-an-entity.bin": (
            b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
            b'<svg xmlns="http://www.w3.org/2000/svg"><text>&e;</text></svg>'
        ),
        f"{no}-program.bin": b"\x7fELF\x02\x01\x01" + bytes(57),
        f"{no}-zip.bin": ZIP,
        f"{no}-pickle.bin": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
        f"{no}-array-called-picture.bin": npy(np.zeros((8, 8, 3), np.uint8)),
        f"{no}-fits.bin": b"SIMPLE  =                    T".ljust(2880),
    }


def _circular_exif():
    entries = struct.pack("<HHHII", 1, 0x8769, 4, 1, 8)
    return b"Exif\0\0II*\0\x08\0\0\0" + entries + struct.pack("<I", 8)


def _odd_floats():
    values = np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40)
    values[0, :3] = np.nan, np.inf, -np.inf
    return values
