"""Features: what a frozen trunk makes of every picture, computed once (DESIGN decision 2)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifier.preprocess import Pixels
from train.cache import digest_of
from train.data import Picture, Split
from train.device import Device
from train.feature_cache import FeatureShelf
from train.group import Group
from train.picture_cache import KeptDecode
from train.pictures import Decode, Unreadable, decode_all, pool_unreadable
from train.shares import Shares
from train.trunk_pass import Trunk, TrunkPass
from train.views import Views

log = logging.getLogger(__name__)

_MOVED_ROWS = 4096  # at a time, where rows close up


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """Features of one split's readable pictures."""

    views_VND: Tensor  # float32 (views, pictures, width), on the device
    pictures: tuple[Picture, ...]
    unreadable: tuple[tuple[str, str], ...]

    @property
    def targets(self) -> np.ndarray:
        """Class indices, int64 (N,)."""
        return np.array([picture.class_index for picture in self.pictures], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How a picture becomes features."""

    trunk: Trunk
    width: int  # features of a view
    decode: Decode  # bytes to whole pictures where `views` needs them, else to centre crops
    views: Views | None = None  # None: one centre crop each (evaluation)
    shelf: FeatureShelf | None = None  # what is known already; what is computed joins it
    kept: KeptDecode | None = None  # what `decode` is, where whole pictures are kept, too

    def look(self, data: bytes) -> "_Seen":
        """The features of a picture or its pixels. Raises as `decode`."""
        name = digest_of(data)
        row = self.shelf.get(name) if self.shelf is not None else None
        return _Seen(name=name, row_VD=row, pixels=self.decode(data) if row is None else None)

    def finish(self) -> None:
        """Let other processes see what was computed."""
        if self.kept is not None:
            self.kept.finish()
        if self.shelf is not None:
            self.shelf.flush()

    def show(self, seen: "_Seen") -> Pixels:
        """uint8 (V, crop, crop, 3), which depends on the picture's bytes, not on its place."""
        assert seen.pixels is not None
        if self.views is None:
            return seen.pixels[None]
        return self.views(seen.pixels, int.from_bytes(seen.name[:8], "big"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A picture that was read: its features, or what to compute them from."""

    name: bytes
    row_VD: NDArray[np.float32] | None
    pixels: Pixels | None


@dataclass(slots=True, kw_only=True)
class Rows:
    """Features of those pictures that could be read."""

    rows_NVD: Tensor  # float32, on the device
    indices: list[int] = field(default_factory=list)  # of the pictures, ascending
    names: list[bytes] = field(default_factory=list)
    unreadable: Unreadable = field(default_factory=dict)
    num_known: int = 0  # that did not have to be computed


def compute_rows(
    source: Source,
    pictures: Sequence[Picture],
    device: Device,
    on_picture: Callable[[int], None] = lambda count: None,
) -> Rows:
    """Run the trunk once over every readable picture (and view)."""
    views = source.views.num_views if source.views else 1
    # In memory view by view, as learning wants them: it may be too much to have twice.
    table_VND = torch.empty(views, len(pictures), source.width, device=device.torch)
    table = table_VND.transpose(0, 1)
    found, shelf = Rows(rows_NVD=table), source.shelf

    def keep(places: Sequence[int]) -> None:
        if shelf is not None:
            for place in places:
                shelf.put(found.names[place], table[place].cpu().numpy())

    try:
        seen = decode_all(pictures, source.look, device.cpus)
        with TrunkPass(source.trunk, table, keep) as trunk_pass:
            for index, (_, item, reason) in enumerate(seen):
                on_picture(1)
                if item is None:
                    found.unreadable[index] = reason
                    continue
                place = len(found.indices)
                found.indices.append(index)
                found.names.append(item.name)
                if item.row_VD is None:
                    trunk_pass.add(place, source.show(item))
                else:
                    table[place] = torch.from_numpy(item.row_VD.copy())
                    found.num_known += 1
    finally:  # who is told to stop meanwhile keeps what there is
        source.finish()
    found.rows_NVD = close_up(table_VND, len(found.indices)).transpose(0, 1)
    return found


def close_up(table_VND: Tensor, count: int) -> Tensor:
    """The first `count` pictures of each view, contiguous, within the memory that they are in."""
    views, pictures, width = table_VND.shape
    rows = table_VND.view(views * pictures, width)
    for view in range(1, views if count < pictures else 0):
        for start in range(0, count, _MOVED_ROWS):
            size = min(_MOVED_ROWS, count - start)
            source, target = view * pictures + start, view * count + start
            rows[target : target + size] = rows[source : source + size].clone()  # may overlap
    return rows[: views * count].view(views, count, width)


def compute_features(
    source: Source,
    split: Split,
    device: Device,
    *,
    max_unreadable: float,
    on_picture: Callable[[int], None],
    group: Group | None = None,
) -> FeatureTable:
    """Run the frozen trunk once over every readable picture (and view) of `split`.

    Several processes divide the pictures; only the leader's table holds features then.

    Raises DataError: too many unreadable pictures.
    """
    group = group or Group()
    ours = Shares(split.pictures, group).of_all(len(split)).tolist()
    found = compute_rows(source, [split.pictures[index] for index in ours], device, on_picture)
    unreadable = {ours[place]: reason for place, reason in found.unreadable.items()}
    unreadable = pool_unreadable(split, unreadable, max_unreadable, group)
    _tell_known(split, found.num_known, group)
    read = [ours[place] for place in found.indices]
    return FeatureTable(
        views_VND=_pool_rows(found.rows_NVD, read, group).to(device.torch),
        pictures=tuple(
            picture for index, picture in enumerate(split.pictures) if index not in unreadable
        ),
        unreadable=tuple(
            (str(split.pictures[index].path), reason) for index, reason in unreadable.items()
        ),
    )


def _tell_known(split: Split, num_known: int, group: Group) -> None:
    known = sum(group.gather(num_known))
    if group.is_leader and known:
        log.info("cache  features of %s: %d of %d pictures", split.name, known, len(split))


def _pool_rows(rows_NVD: Tensor, read: list[int], group: Group) -> Tensor:
    """(V, N, D) of all processes' pictures in the split's order; (V, 0, D) where not the leader.

    `read`: which pictures of the split the rows belong to.
    """
    if group.is_alone:
        return rows_NVD.transpose(0, 1).contiguous()  # which they are, see `compute_rows`
    owned = group.gather(read)
    places = np.argsort(np.argsort([index for part in owned for index in part]))
    bounds = np.cumsum([0, *(len(part) for part in owned)])
    count = len(places) if group.is_leader else 0
    pooled_VND = torch.empty(rows_NVD.shape[1], count, rows_NVD.shape[2], dtype=rows_NVD.dtype)
    for view, target in enumerate(pooled_VND):  # one at a time: all of them may be a lot
        for rank, part in enumerate(group.collect(rows_NVD[:, view].cpu())):
            target[places[bounds[rank] : bounds[rank + 1]]] = part
    return pooled_VND
