"""Hyperparameters: every knob of `train`, in one table that all else is made from.

The parser, the flags of `python -m train`, `docs/hyperparameters.md`, tuning ranges and AWS
requests read `SETTINGS`; nothing else lists the knobs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from contract.aliases import SAME_VALUE, is_reserved, resolve_aliases
from contract.architectures import ARCHITECTURES
from contract.errors import HyperparameterError
from contract.setting import Setting, knob, settings_of
from contract.strict import nearest

AUGMENTATIONS = ("none", "crop", "crop_color", "crop_color_transform")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """What a training job may be told. Reference: docs/hyperparameters.md (generated)."""

    # Network
    arch: str = knob(
        "resnet50", "Network", "any torchvision classification builder, e.g. mobilenet_v3_large",
        known=ARCHITECTURES, known_as="a torchvision classification builder",
    )  # fmt: skip
    pretrained: bool = knob(
        True, "Network", "start from pretrained weights; false starts from random ones"
    )
    unfreeze: str = knob(
        "none",
        "Network",
        "what is trained besides the new head; with none, features are computed only once",
        choices=("none", "last-stage", "all"),
        tuning=("none", "last-stage", "all"),
    )
    head_init: str = knob(
        "he", "Network", "initialisation of the new head", choices=("he", "xavier")
    )
    image_size: int = knob(
        0,
        "Network",
        "side of the square that the network sees, in pixels; 0 takes the network's own",
        minimum=0,
        maximum=1024,
    )
    num_classes: int = knob(
        0, "Network", "checked against the train channel when it is not 0", minimum=0
    )
    top_k: int = knob(
        5, "Network", "labels named in each answer of the served model", minimum=1, maximum=1000
    )
    # Training
    epochs: int = knob(
        30, "Training", "passes over the training pictures", minimum=1, maximum=100000
    )
    batch_size: int = knob(
        32, "Training", "pictures a step, over all hosts and GPUs together; auto is decided before"
        " training: by trying steps, or with a frozen trunk by the number of pictures",
        minimum=1, maximum=65536, auto=0, tuning=("32", "64", "128", "256"),
    )  # fmt: skip
    lr: float = knob(
        0.001,
        "Training",
        "peak learning rate, reached after the warm-up",
        above=0,
        below=10,
        tuning=(0.0001, 0.1),
        scaling="Logarithmic",
    )
    optimizer: str = knob(
        "adamw",
        "Training",
        "update rule; nag is sgd with Nesterov momentum",
        choices=("sgd", "nag", "adam", "adamw", "rmsprop"),
        tuning=("sgd", "adamw"),
    )
    weight_decay: float = knob(
        0.0001,
        "Training",
        "decay of weights towards zero (decoupled with adamw, L2 otherwise)",
        minimum=0,
        maximum=10,
        tuning=(0.000001, 0.1),
        scaling="Logarithmic",
    )
    momentum: float = knob(
        0.9, "Training", "momentum of sgd, nag and rmsprop", minimum=0, below=1, tuning=(0.5, 0.99)
    )
    schedule: str = knob(
        "cosine", "Training", "how the learning rate falls after the warm-up",
        choices=("cosine", "constant", "step"),
    )  # fmt: skip
    warmup_epochs: float = knob(
        1.0, "Training", "epochs of linear warm-up; never more than half of the run",
        minimum=0, maximum=1000,
    )  # fmt: skip
    lr_step_epochs: str = knob(
        "", "Training", "with schedule step: epochs at which the rate falls, e.g. 10,20"
    )
    lr_step_factor: float = knob(
        0.1, "Training", "with schedule step: the rate is multiplied by this", above=0, maximum=1
    )
    label_smoothing: float = knob(
        0.1,
        "Training",
        "share of each target spread over all classes",
        minimum=0,
        below=1,
        tuning=(0.0, 0.3),
    )
    gradient_clip: float = knob(
        0.0, "Training", "largest norm of all gradients together; 0 is off", minimum=0
    )
    gradient_accumulation: int = knob(
        1, "Training", "batches whose gradients are averaged into one step", minimum=1, maximum=1024
    )
    ema_decay: float = knob(
        0.0,
        "Training",
        "decay of the moving average of weights that is evaluated and saved; 0 is off",
        minimum=0,
        below=1,
    )
    precision: str = knob(
        "auto",
        "Training",
        "arithmetic of the network; auto takes bf16 where the device has it",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    compile: bool = knob(
        False, "Training", "run the steps of fine-tuning as torch.compile makes them, in one"
        " process; needs a C++ compiler, on a GPU a C compiler"
    )  # fmt: skip
    quantize: str = knob(
        "auto", "Training", "int8 for serving on CPUs; auto: if the CPU trains or answers agree",
        choices=("auto", "int8", "none"),
    )  # fmt: skip
    seed: int = knob(
        0,
        "Training",
        "same seed, machine and number of CPUs: bit-equal weights on the CPU",
        minimum=0,
    )
    # Stopping
    objective: str = knob(
        "validation:accuracy",
        "Stopping",
        "the metric that decides which epoch is best",
        choices=("validation:accuracy", "validation:loss"),
    )
    early_stopping_patience: int = knob(
        5, "Stopping", "stop after so many epochs without a better objective; 0 is off", minimum=0
    )
    early_stopping_min_epochs: int = knob(
        0, "Stopping", "never stop early before so many epochs", minimum=0
    )
    early_stopping_tolerance: float = knob(
        0.0, "Stopping", "an improvement counts from this size on", minimum=0, below=1
    )
    max_train_seconds: float = knob(
        0.0,
        "Stopping",
        "time budget of training, in seconds; the best epoch is kept; 0 is off",
        minimum=0,
    )
    # Pictures
    augment: str = knob(
        "none",
        "Pictures",
        "random changes of training pictures, named as the built-in algorithm does",
        choices=AUGMENTATIONS,
        tuning=AUGMENTATIONS,
    )
    views: int = knob(
        0,
        "Pictures",
        "with a frozen trunk: views of each training picture to compute; 0 takes 1, or 4 when"
        " pictures are augmented",
        minimum=0,
        maximum=256,
    )
    randaugment: int = knob(
        0, "Pictures", "magnitude of RandAugment (9 is usual); 0 is off", minimum=0, maximum=30
    )
    random_erasing: float = knob(
        0.0, "Pictures", "probability of erasing a rectangle", minimum=0, maximum=1
    )
    mixup: float = knob(
        0.0,
        "Pictures",
        "alpha of mixup (0.2 is usual); with a frozen trunk features are mixed; 0 is off",
        minimum=0,
        maximum=10,
    )
    balance: str = knob(
        "none",
        "Pictures",
        "against class imbalance: weights in the loss, or a sampler that draws classes evenly",
        choices=("none", "weights", "sampler"),
    )
    validation_split: float = knob(
        0.2,
        "Pictures",
        "share of the train channel held out when there is no validation channel",
        above=0,
        below=1,
    )
    max_unreadable: float = knob(
        0.05,
        "Pictures",
        "share of unreadable pictures in a channel above which the job fails",
        minimum=0,
        maximum=1,
    )
    num_workers: int = knob(
        -1,
        "Pictures",
        "processes that prepare batches; 0 none; -1 decides by device and shared memory",
        minimum=-1,
        maximum=256,
    )
    # Hosts
    processes_per_host: int = knob(
        0,
        "Hosts",
        "training processes on each host; 0 takes one a GPU, or one without GPUs",
        minimum=0,
        maximum=64,
    )
    rendezvous_seconds: int = knob(
        600,
        "Hosts",
        "time in which all hosts of a job have to appear",
        minimum=1,
        maximum=3600,
    )

    def __post_init__(self) -> None:
        for setting in settings_of(type(self)):
            setting.check(getattr(self, setting.name.replace("-", "_")))
        self.step_epochs()

    def step_epochs(self) -> tuple[int, ...]:
        """`lr_step_epochs` as numbers. Raises HyperparameterError."""
        words = [word.strip() for word in self.lr_step_epochs.split(",") if word.strip()]
        if not all(word.isdigit() for word in words):
            raise HyperparameterError(
                "lr-step-epochs", self.lr_step_epochs, "whole numbers with commas, e.g. 10,20"
            )
        return tuple(sorted(int(word) for word in words))

    def to_strings(self) -> dict[str, str]:
        """Every knob as SageMaker would send it: hyphenated names, string values."""
        return {BY_KEY[key].name: BY_KEY[key].to_text(value) for key, value in asdict(self).items()}


SETTINGS: tuple[Setting, ...] = settings_of(Hyperparameters)
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}
BY_KEY: dict[str, Setting] = {name.replace("-", "_"): item for name, item in BY_NAME.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedHyperparameters:
    """The typed knobs, and what a person should be told about how they were read."""

    values: Hyperparameters
    given: frozenset[str]  # names that were set, hyphenated
    reserved: dict[str, str]  # SageMaker's own keys, never ours to judge
    notes: tuple[str, ...]  # aliases taken, names ignored and why


def parse_hyperparameters(raw: Mapping[str, str]) -> ParsedHyperparameters:
    """Read hyperparameters.json's string map.

    Reserved keys (`sagemaker_*`, `_tuning_objective_metric`, `_kfold*`) are set aside. `_` and
    `-` are the same in names; the built-in algorithm's names are aliases.

    Raises HyperparameterError: an unknown name (with the nearest one), or a wrong value.
    """
    reserved = {key: value for key, value in raw.items() if is_reserved(key)}
    own = {key: value for key, value in raw.items() if key not in reserved}
    resolved, notes = resolve_aliases(own, BY_NAME)
    values: dict[str, Any] = {}
    for name, text in resolved.items():
        setting = BY_NAME.get(name)
        if setting is None:
            typed = next((key for key in own if key.replace("_", "-").lower() == name), name)
            near = nearest(name, [*BY_NAME, *SAME_VALUE])
            raise HyperparameterError(typed, text, "a known name (docs/hyperparameters.md)", near)
        values[name.replace("-", "_")] = setting.parse(text)
    return ParsedHyperparameters(
        values=replace(Hyperparameters(), **values),
        given=frozenset(resolved),
        reserved=reserved,
        notes=tuple(notes),
    )
