"""Whatever the bytes: pixels or an ImageError, within bounds of time and memory."""

import re
import time
from pathlib import Path

import pytest
from fuzz_budget import budget, tried
from hypothesis import given
from hypothesis import strategies as st
from kinds import KINDS, kind
from mutations import changed

from classifier.preprocess import decode_picture, decode_resized
from contract.errors import ImageError
from contract.limits import Limits
from contract.manifest import Preprocess

SMALL = Preprocess(resize_px=40, crop_px=32)
LIMITS = Limits(max_bytes=1_000_000, max_pixels=1_000_000, max_frames=20)
# A million pixels of doubles, eight times; what decoders take for themselves comes to 60 MB.
MOST_MIB = 128
MOST_CPU_SECONDS = 5
CORPUS = Path(__file__).parents[1] / "hostile"
NAMES = sorted(set(KINDS) - {"12-megapixels"})


def family(name):
    return name.partition("-")[0]


def originals(form):
    """Pictures of one format, and what the corpus holds of it."""
    ours = [kind(name) for name in NAMES if family(name) == form]
    endings = {"jpeg": "jpg", "jpeg2000": "jp2"}
    files = sorted(CORPUS.glob(f"*/*.{endings.get(form, form)}"))
    return ours + [path.read_bytes() for path in files if path.stat().st_size < 20_000]


def peak_mib():
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024


def check(data):
    """Decode both ways; the second is what training does."""
    tried["pictures decoded by the fuzzer"] += 1
    started = time.process_time()
    refusal = ""
    try:
        assert decode_picture(data, SMALL, LIMITS).shape == (32, 32, 3)
        whole = decode_resized(data, 40, LIMITS)
        assert whole.ndim == 3
        assert whole.size <= 3 * LIMITS.max_pixels
    except ImageError as error:
        refusal = str(error)
    assert refusal.isascii()
    assert "\n" not in refusal
    assert time.process_time() - started < MOST_CPU_SECONDS


@pytest.mark.parametrize("form", sorted({family(name) for name in NAMES}))
def test_altered_pictures_are_read_or_refused(form):
    @budget(60)
    @given(changed(originals(form)))
    def run(data):
        check(data)

    check(originals(form)[0])  # whatever is loaded once is loaded now
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mib()
    run()
    assert peak_mib() - before < MOST_MIB


def begun(data):
    """Nonsense behind what a format is recognised by."""
    return st.binary(max_size=200).map(lambda rest: data[:12] + rest)


@budget(200)
@given(st.binary(max_size=200) | st.sampled_from([kind(name) for name in NAMES]).flatmap(begun))
def test_nonsense_behind_a_right_beginning_is_refused(data):
    check(data)
