"""Channels: from folders, archives or manifests, as people lay them out, to JobData."""

from collections import Counter
from pathlib import Path

from contract.errors import ChannelError, DataError, HyperparameterError
from contract.job import PICTURE_CHANNELS, TrainingJob
from contract.labels import Labels
from train.augmented_manifest import NamedPicture, read_augmented_manifest
from train.data import JobData, Picture, Split
from train.folders import Listing, is_picture
from train.holdout import hold_out
from train.layout import LAYOUTS, Layouts, Source, label_of, some, unreadable_layout


def read_data(job: TrainingJob, work_dir: Path) -> JobData:
    """Find the pictures of every split. Archives are unpacked below `work_dir`.

    Labels come from the train split and are imposed on the others. Without validation data a
    stratified, seeded share of train is held out.

    Raises:
        ChannelError: a channel is missing, empty or laid out in a way that we cannot read.
        DataError: labels that do not fit each other, a hostile archive, a link out of a channel.
        HyperparameterError: num-classes disagrees with the train split.
        HostError: the disk is too small to unpack an archive.
    """
    values = job.hyperparameters.values
    layouts = Layouts(work_dir)
    if "train" not in job.channels:
        raise ChannelError(_no_train_channel(job))
    sources = layouts.open_channel(job.channels["train"])
    train_source = sources["train"]
    named = {"train": _read(train_source, layouts)}
    labels = _labels_of(train_source, named["train"], values.num_classes)
    layouts.known = frozenset(labels.names)
    for name in PICTURE_CHANNELS[1:]:
        if name in job.channels:
            if name in sources:
                layouts.notes.append(f"{name}: its own channel is read, not train's {name} folder")
            sources[name] = layouts.open_channel(job.channels[name])[name]
        if name in sources:
            named[name] = _read(sources[name], layouts)
    splits = {
        name: _impose(labels, sources[name], pictures, layouts.notes)
        for name, pictures in named.items()
    }
    held_out = "validation" not in splits
    if held_out:
        share = values.validation_split
        splits["train"], splits["validation"] = hold_out(splits["train"], share, values.seed)
        _check_held_out(splits, layouts.notes)
    return JobData(
        labels=labels,
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        held_out=held_out,
        notes=tuple(layouts.notes),
    )


def _read(source: Source, layouts: Layouts) -> list[NamedPicture]:
    """(label, file) of every picture of one split. Raises ChannelError when there is none."""
    if source.path.is_file():
        named, notes = read_augmented_manifest(source.path, source.tree)
        layouts.notes += [f"{source.split}: {note}" for note in notes]
    else:
        named = _read_class_folders(source, layouts)
    if not named:
        listing = source.tree.listing(source.path) if source.path.is_dir() else None
        found = _describe(listing) if listing else "no labelled line"
        raise ChannelError(unreadable_layout(source.split, source.path, found))
    return named


def _read_class_folders(source: Source, layouts: Layouts) -> list[NamedPicture]:
    folder = layouts.unwrap(source.tree, source.path)
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


def _labels_of(source: Source, named: list[NamedPicture], num_classes: int) -> Labels:
    labels = Labels.from_names(label for label, _ in named)
    if len(labels) < 2:
        raise DataError(
            f"channel 'train' ({source.path}): expected at least two classes, got only "
            f"{labels.names[0]!r}"
        )
    if num_classes not in (0, len(labels)):
        raise HyperparameterError(
            "num-classes", num_classes, f"{len(labels)}, the classes of the train channel, or 0"
        )
    return labels


def _impose(labels: Labels, source: Source, named: list[NamedPicture], notes: list[str]) -> Split:
    """A split with train's class indices. Raises DataError for a class that train lacks."""
    index = {name: number for number, name in enumerate(labels.names)}
    present = {label for label, _ in named}
    if unknown := sorted(present - index.keys()):
        raise DataError(
            f"channel {source.split!r} ({source.path}) holds classes that train lacks: "
            f"{some(unknown)}; remove them or add pictures of them to train"
        )
    if missing := [name for name in labels.names if name not in present]:
        notes.append(f"{source.split}: no pictures of {some(missing)}")
    pictures = [Picture(path=path, class_index=index[label]) for label, path in named]
    # Stable: within a class the order of names stays.
    pictures.sort(key=lambda picture: picture.class_index)
    return Split(name=source.split, pictures=tuple(pictures))


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
