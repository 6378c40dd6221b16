"""Which pictures look alike: against plain loops over all pairs, and training's own decoder."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from kinds import KINDS, kind
from PIL import Image

from classifier.preprocess import decode_picture
from contract.channel_files import is_picture_name
from contract.errors import ImageError
from contract.manifest import Preprocess
from control.data.likeness import BITS, MOST_BITS, MOST_DIFFERENCE, difference, groups_of
from control.data.look import GRADIENTS, LEAST_STEP, Look, look_at
from control.data.pictures import Place


def look_of(data: bytes, folder) -> Look:
    path = folder / "picture"
    path.write_bytes(data)
    return look_at(Place(str(path), 0, len(data)))


def made_up(count: int, seed: int) -> list[Look]:
    """Looks in clusters: random ones, and others that differ from them in a few bits."""
    generator, looks = random.Random(seed), []
    for number in range(count):
        if looks and generator.random() < 0.4:
            near = generator.choice(looks)
            bits = near.gradients
            for _ in range(generator.randrange(0, 2 * MOST_BITS)):
                bits ^= 1 << generator.randrange(BITS)
            shift = generator.choice((0, 1, 3, 9))
            thumb = bytes(min(255, value + shift) for value in near.thumb)
        else:
            bits, thumb = generator.getrandbits(BITS), generator.randbytes(768)
        looks.append(Look("", number.to_bytes(32, "big"), gradients=bits, thumb=thumb))
    return looks


def by_hand(looks: list[Look], most_bits: int) -> list[list[int]]:
    """All pairs, then what hangs together."""
    sets = [{index} for index in range(len(looks))]
    for one in range(len(looks)):
        for other in range(one):
            bits, mean = difference(looks[one], looks[other])
            if bits <= most_bits and mean <= MOST_DIFFERENCE:
                joined = sets[one] | sets[other]
                for index in joined:
                    sets[index] = joined
    found = {tuple(sorted(group)) for group in sets if len(group) > 1}
    return sorted((list(group) for group in found), key=lambda group: (-len(group), group))


@pytest.mark.parametrize("most_bits", [1, 4, MOST_BITS, 32])
@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_of_a_loop_over_all_pairs(most_bits, seed):
    looks = made_up(120, seed)
    groups = groups_of(looks, most_bits)
    assert groups == by_hand(looks, most_bits)
    assert groups


def test_without_bits_only_the_same_is_found():
    looks = made_up(60, 1)
    looks += [looks[0]._replace(sha256=b"other"), Look("damaged", looks[1].sha256)]
    assert groups_of(looks, 0) == [[0, 60], [1, 61]]


def test_damaged_pictures_are_alike_by_their_bytes_alone():
    looks = [Look("damaged", b"a"), Look("damaged", b"b"), Look("damaged", b"a"), Look("gone")] * 2
    assert groups_of(looks) == [[0, 2, 4, 6], [1, 5]]


def test_gradients_are_those_of_a_plain_loop(tmp_path):
    data = kind("png")
    side = GRADIENTS + 1
    small = Image.open(io.BytesIO(data))
    grey = np.asarray(
        small.convert("RGB")
        .resize((64, 64), Image.Resampling.BOX)
        .convert("L")
        .resize((side, side), Image.Resampling.BOX)
    ).astype(int)
    bits = ""
    for y in range(GRADIENTS):
        for x in range(GRADIENTS):
            bits += "01"[int(grey[y, x + 1] > grey[y, x] + LEAST_STEP)]
            bits += "01"[int(grey[y + 1, x] > grey[y, x] + LEAST_STEP)]
    assert look_of(data, tmp_path).gradients == int(bits, 2)


def is_refused_by_training(data: bytes) -> bool:
    try:
        decode_picture(data, Preprocess(resize_px=64, crop_px=64))
    except ImageError:
        return True
    return False


@pytest.mark.parametrize("name", KINDS)
def test_what_training_reads_is_sound(name, tmp_path):
    look = look_of(kind(name), tmp_path)
    assert look.problem == ""
    with Image.open(tmp_path / "picture") as picture:
        assert (look.width, look.height) == picture.size


TURNED = [name for name in KINDS if "exif" in name]


@pytest.mark.parametrize("name", TURNED)
def test_turned_pictures_look_like_the_upright_one(name, tmp_path):
    bits, mean = difference(look_of(kind("png"), tmp_path), look_of(kind(name), tmp_path))
    assert bits <= MOST_BITS
    assert mean <= MOST_DIFFERENCE


HOSTILE = sorted(
    path
    for folder in ("accepted", "refused")
    for path in (Path(__file__).parent / "hostile" / folder).iterdir()
    if is_picture_name(path.name)
)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_hostile_pictures_are_judged_as_training_judges_them(path):
    data = path.read_bytes()
    look = look_at(Place(str(path), 0, len(data)))
    assert bool(look.problem) == is_refused_by_training(data), look.problem
