"""Channels: from folders, archives or manifests, as people lay them out, to JobData."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from contract.errors import ChannelError, DataError, HyperparameterError
from contract.job import PICTURE_CHANNELS, Channel, TrainingJob
from contract.labels import Labels
from train.augmented_manifest import NamedPicture, read_augmented_manifest
from train.data import JobData, Picture, Split
from train.folders import Listing, below, is_picture
from train.found import Found, FoundSplit, PooledSplit, pool
from train.group import Group
from train.holdout import hold_out
from train.layout import LAYOUTS, Layouts, Source, label_of, some, unreadable_layout
from train.shards import parts_of


def read_data(job: TrainingJob, work_dir: Path, group: Group | None = None) -> JobData:
    """Find the pictures of every split. Archives are unpacked below `work_dir`.

    Labels come from the train split and are imposed on the others. Without validation data a
    stratified, seeded share of train is held out. With several hosts the result is the same in
    all processes and covers what lies on any host.

    Raises:
        ChannelError: a channel is missing, empty or laid out in a way that we cannot read.
        DataError: labels that do not fit each other, a hostile archive, a link out of a channel.
        HyperparameterError: num-classes disagrees with the train split.
        HostError: the disk is too small to unpack an archive.
    """
    group = group or Group()
    # One process a host looks; its archives are unpacked once.
    found = find_pictures(job, work_dir).to_json() if group.world.local_rank == 0 else None
    founds = [Found.of_json(each) for each in group.gather(found) if each is not None]
    notes = list(founds[group.world.host_index].notes)
    return _assemble(job, pool(founds, group.world.host_index), notes)


def find_pictures(job: TrainingJob, work_dir: Path) -> Found:
    """What lies in the channels of this host. Raises as `read_data` does."""
    if "train" not in job.channels:
        raise ChannelError(_no_train_channel(job))
    layouts = Layouts(work_dir)
    splits: dict[str, FoundSplit] = {}
    for name in PICTURE_CHANNELS:
        if name not in job.channels:
            continue
        channel = job.channels[name]
        layouts.is_shard = _is_shard(job, channel)
        try:
            sources = layouts.open_channel(channel)
            splits[name] = _find_split(sources[name], layouts)
        except ChannelError as error:
            if not layouts.is_shard:
                raise
            splits[name] = FoundSplit(
                root=channel.path, source=channel.path, entries=(), problem=str(error)
            )
            continue
        if name == "train":
            layouts.known = frozenset(label for label, _ in splits[name].entries)
            splits |= _find_beside_train(job, sources, layouts)
    return Found(splits=splits, notes=tuple(layouts.notes))


def _is_shard(job: TrainingJob, channel: Channel) -> bool:
    """True when this host sees a part of the channel, or nothing of it (CONTRACT A.4)."""
    return channel.distribution == "ShardedByS3Key" and len(job.cluster.hosts) > 1


def _find_beside_train(
    job: TrainingJob, sources: dict[str, Source], layouts: Layouts
) -> dict[str, FoundSplit]:
    """The other splits that the train channel brings with it."""
    others = [name for name in sources if name != "train"]
    for name in others:
        if name in job.channels:
            layouts.notes.append(f"{name}: its own channel is read, not train's {name} folder")
    return {
        name: _find_split(sources[name], layouts) for name in others if name not in job.channels
    }


def _find_split(source: Source, layouts: Layouts) -> FoundSplit:
    root, named = layouts.root_of(source), _read(source, layouts)
    return FoundSplit(
        root=root,
        source=source.path,
        entries=tuple((label, below(path, root)) for label, path in named),
        shards=source.tree.packed.shards_of(path for _, path in named),
    )


def _assemble(job: TrainingJob, pooled: dict[str, PooledSplit], notes: list[str]) -> JobData:
    """Labels, class indices and the hold-out, from the pictures of all hosts."""
    values = job.hyperparameters.values
    for name, found in pooled.items():
        if not found.entries:
            raise ChannelError(found.problem)
        if found.shards:
            notes.append(f"{name}: {len(found.shards)} shards are read in place")
        if found.counts:
            parts = " + ".join(f"{count:,}" for count in found.counts)
            notes.append(f"{name}: each host reads its own pictures ({parts})")
    labels = _labels_of(pooled["train"], values.num_classes)
    splits = {name: _impose(labels, name, found, notes) for name, found in pooled.items()}
    held_out = "validation" not in splits
    if held_out:
        share = values.validation_split
        splits["train"], splits["validation"] = hold_out(splits["train"], share, values.seed)
        _check_held_out(splits, notes)
    return JobData(
        labels=labels,
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        held_out=held_out,
        notes=tuple(notes),
    )


def _read(source: Source, layouts: Layouts) -> list[NamedPicture]:
    """(label, file) of every picture of one split. Raises ChannelError when there is none."""
    if source.path.is_file():
        named, notes = read_augmented_manifest(source.path, source.tree)
        layouts.notes += [f"{source.split}: {note}" for note in notes]
    else:
        named = _read_class_folders(source, layouts)
    if not named:
        listing = None if source.path.is_file() else source.tree.listing(source.path)
        found = _describe(listing) if listing else "no labelled line"
        raise ChannelError(unreadable_layout(source.split, source.path, found))
    return named


def _read_class_folders(source: Source, layouts: Layouts) -> list[NamedPicture]:
    folder = layouts.unwrap(source.tree, source.path, source.split)
    listing = source.tree.listing(folder)
    named: list[NamedPicture] = []
    empty: list[str] = []
    others: Counter[str] = Counter(path.suffix or "no suffix" for path in listing.files)
    for class_folder in listing.folders:
        files = source.tree.files_below(class_folder)
        pictures = [path for path in files if is_picture(path)]
        others.update(path.suffix or "no suffix" for path in files if not is_picture(path))
        named += [(label_of(class_folder), path) for path in pictures]
        if not pictures:
            empty.append(class_folder.name)
    if named and empty:
        layouts.notes.append(f"{source.split}: no pictures in {some(empty)}: not a class")
    if named and others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        layouts.notes.append(f"{source.split}: files outside of classes or not pictures: {kinds}")
    return named


def _labels_of(found: PooledSplit, num_classes: int) -> Labels:
    labels = Labels.from_names(label for label, _, _ in found.entries)
    if len(labels) < 2:
        raise DataError(
            f"channel 'train' ({found.source}): expected at least two classes, got only "
            f"{labels.names[0]!r}: add a folder for each further class"
        )
    if num_classes not in (0, len(labels)):
        raise HyperparameterError(
            "num-classes", num_classes, f"{len(labels)}, the classes of the train channel, or 0"
        )
    return labels


def _impose(labels: Labels, name: str, found: PooledSplit, notes: list[str]) -> Split:
    """A split with train's class indices. Raises DataError for a class that train lacks."""
    index = {label: number for number, label in enumerate(labels.names)}
    present = {label for label, _, _ in found.entries}
    if unknown := sorted(present - index.keys()):
        raise DataError(
            f"channel {name!r} ({found.source}) holds classes that train lacks: "
            f"{some(unknown)}; remove them or add pictures of them to train"
        )
    if missing := [label for label in labels.names if label not in present]:
        notes.append(f"{name}: no pictures of {some(missing)}")
    # By class, then by name: the same on every host, whatever each of them holds.
    entries: Sequence[tuple[str, str, int | None]] = sorted(
        found.entries, key=lambda entry: (index[entry[0]], entry[1])
    )
    parts = parts_of(name, found.shards)
    pictures = []
    for label, file, host in entries:
        path = found.root / file
        part = parts.get(str(path)) if parts else None
        pictures.append(Picture(path=path, class_index=index[label], host=host, part=part))
    return Split(name=name, pictures=tuple(pictures))


def _check_held_out(splits: dict[str, Split], notes: list[str]) -> None:
    taken, kept = len(splits["validation"]), len(splits["train"])
    if not taken:
        raise DataError(
            "channel 'train': no class has two pictures, so none can be held out for validation; "
            "add pictures or a validation channel"
        )
    notes.append(f"no validation channel: {taken:,} of {taken + kept:,} pictures are held out")


def _no_train_channel(job: TrainingJob) -> str:
    given = [*job.channels, *job.ignored_channels]
    # Outputs and channels share one base in SageMaker's layout: /opt/ml/model, /opt/ml/input.
    expected = job.outputs.model_dir.parent / "input" / "data" / "train"
    return (
        f"channel 'train' is missing (channels given: {', '.join(given) or 'none'}; looked for "
        f"{expected}): give {LAYOUTS}"
    )


def _describe(listing: Listing) -> str:
    """What lies in a folder that we cannot read, e.g. `12 pictures outside of class folders`."""
    others = Counter(path.suffix or "no suffix" for path in listing.files if not is_picture(path))
    parts = [f"{len(listing.pictures)} pictures outside of class folders"] * bool(listing.pictures)
    parts += [f"folders without pictures ({some(item.name for item in listing.folders)})"] * bool(
        listing.folders
    )
    parts += [f"{count} {suffix} files" for suffix, count in sorted(others.items())]
    return ", ".join(parts) or "nothing"
