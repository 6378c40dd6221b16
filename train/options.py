"""Flags of `python -m train`: the same job without /opt/ml, for a laptop or a bare host."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from contract.errors import ChannelError, HyperparameterError
from contract.hyperparameters import BY_NAME, SETTINGS, parse_hyperparameters
from contract.job import CHANNEL_ALIASES, CHANNELS, Channel, Outputs, TrainingJob
from contract.setting import Setting
from contract.strict import nearest

EXAMPLE = """\
example:
  python -m train --train dogs/train --validation dogs/valid --test dogs/test \\
      --arch squeezenet1_1 --pretrained squeezenet1_1.pth --epochs 30 \\
      --model-dir out/model --output-dir out/output

Without any flag the job is read from /opt/ml (SAGEMAKER_BASE_DIR moves it), as in SageMaker.
"""
_CHANNEL_HELP = {
    "train": "class folders, a zip or tar of them, or an augmented manifest",
    "validation": "the same; without it a share of train is held out",
    "test": "the same; scored once, at the end",
    "pretrained": "a torchvision state dict (.pth or .safetensors); or true, or false",
    "model": "an earlier bundle or model.tar.gz to continue from",
}


def build_parser() -> argparse.ArgumentParser:
    """Channels, outputs, and one flag for every row of the hyperparameter table."""
    parser = argparse.ArgumentParser(
        prog="python -m train",
        description="Train an image classifier and leave a bundle that `serve` serves.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    channels = parser.add_argument_group("channels")
    for name in CHANNELS:
        others = [f"--{alias}" for alias, ours in CHANNEL_ALIASES.items() if ours == name]
        channels.add_argument(
            f"--{name}", *others, dest=f"channel_{name}", metavar="PATH", help=_CHANNEL_HELP[name]
        )
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument(
        "--model-dir", type=Path, default=Path("model"), metavar="DIR", help="default: %(default)s"
    )
    outputs.add_argument(
        "--output-dir",
        type=Path,
        default=Path("output"),
        metavar="DIR",
        help="reports and metrics; default: %(default)s",
    )
    outputs.add_argument(
        "--checkpoint-dir", type=Path, metavar="DIR", help="where an interrupted job continues"
    )
    outputs.add_argument("--name", default="local", help="name of the job; default: %(default)s")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for setting in SETTINGS:
        if setting.name != "pretrained":  # its flag is the channel's
            if setting.group not in groups:
                groups[setting.group] = parser.add_argument_group(setting.group.lower())
            _add_flag(groups[setting.group], setting)
    return parser


def job_from_flags(arguments: Sequence[str]) -> TrainingJob:
    """The job that the flags describe.

    Raises:
        HyperparameterError: an unknown flag (with the nearest name) or a wrong value.
        ChannelError: --train is missing, or a path does not exist.
    """
    known, unknown = build_parser().parse_known_args(arguments)
    given = {
        setting.name: value
        for setting in SETTINGS
        if (value := getattr(known, f"hp_{setting.name}", None)) is not None
    }
    given |= _pairs(unknown)
    for name in given.keys() - BY_NAME.keys():
        # A misspelt channel or folder is no hyperparameter: look among those flags as well.
        near = nearest(name, [*CHANNELS, *CHANNEL_ALIASES, "model-dir", "output-dir"])
        if near is not None and nearest(name, BY_NAME) is None:
            raise HyperparameterError(f"--{name}", given[name], "a known flag", f"--{near}")
    paths = {name: getattr(known, f"channel_{name}") for name in CHANNELS}
    if str(paths["pretrained"]).lower() in {"true", "false", "1", "0"}:
        given["pretrained"] = paths.pop("pretrained")
    hyperparameters = parse_hyperparameters(given)
    return TrainingJob(
        name=known.name,
        hyperparameters=hyperparameters,
        channels=_channels(paths),
        outputs=Outputs(
            model_dir=known.model_dir,
            data_dir=known.output_dir,
            failure_file=known.output_dir / "failure",
            checkpoint_dir=known.checkpoint_dir,
        ),
    )


def _add_flag(group: argparse._ArgumentGroup, setting: Setting) -> None:
    names = [f"--{setting.name}"]
    if "-" in setting.name:
        names.append(f"--{setting.name.replace('-', '_')}")
    group.add_argument(
        *names,
        dest=f"hp_{setting.name}",
        metavar="VALUE",
        help=f"{setting.help}; {setting.expected()}; default: {setting.default}".replace("%", "%%"),
    )


def _pairs(unknown: Sequence[str]) -> dict[str, str]:
    """Flags outside the table as hyperparameters: aliases and did-you-mean work here too."""
    pairs: dict[str, str] = {}
    rest = list(unknown)
    while rest:
        flag = rest.pop(0)
        name, equals, value = flag.removeprefix("--").partition("=")
        if not flag.startswith("--"):
            raise HyperparameterError(flag, flag, "a flag; see python -m train --help")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else ""
        pairs[name] = value
    return pairs


def _channels(paths: dict[str, str | None]) -> dict[str, Channel]:
    channels: dict[str, Channel] = {}
    for name, text in paths.items():
        if text is None:
            continue
        path = Path(text)
        if not path.exists():
            raise ChannelError(f"--{name} {text}: there is no such file or folder")
        channels[name] = Channel(name=name, path=path)
    if "train" not in channels:
        raise ChannelError("expected --train DIR, got none; see python -m train --help")
    return channels
