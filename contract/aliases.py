"""Other people's names for our knobs: the built-in Image Classification algorithms' above all.

Source: SageMaker developer guide, pages IC-Hyperparameter and IC-TF-Hyperparameter.
"""

from collections.abc import Collection, Mapping

from contract.errors import HyperparameterError
from contract.strict import to_bool, unquote

RESERVED_NAMES = frozenset({"_tuning_objective_metric", "default_user_module_name"})
# kennel_ is ours, for what is no knob of one training: kennel_tuning, kennel_find_lr.
RESERVED_PREFIXES = ("sagemaker_", "_kfold", "kennel_")

# alias -> our name; the value means the same
SAME_VALUE = {
    "learning-rate": "lr",
    "mini-batch-size": "batch-size",
    "train-batch-size": "batch-size",
    "epoch": "epochs",
    "model": "arch",
    "model-name": "arch",
    "architecture": "arch",
    "augmentation-type": "augment",
    "use-pretrained-model": "pretrained",
    "lr-scheduler-step": "lr-step-epochs",
    "lr-scheduler-factor": "lr-step-factor",
    "early-stopping-min-delta": "early-stopping-tolerance",
    "regularizers-l2": "weight-decay",
}

# Names that we know and do not need: said aloud, never a failure.
IGNORED = {
    "num-training-samples": "pictures are counted",
    "kv-store": "gradients are always summed synchronously",
    "checkpoint-frequency": "checkpoints go to the checkpoint path, the best epoch to the model",
    "resize": "the resize belongs to the network and travels in the bundle",
    "test-batch-size": "evaluation picks its own batch size",
    "eval-metric": "accuracy and loss are always reported",
}

Resolved = tuple[str, str]


def is_reserved(key: str) -> bool:
    """True for keys that SageMaker, its toolkits or our own commands add for themselves."""
    return key in RESERVED_NAMES or key.startswith(RESERVED_PREFIXES)


def resolve_aliases(
    raw: Mapping[str, str], known: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Our names for every key of `raw`, and notes on what was translated or ignored.

    Raises HyperparameterError when two keys set the same knob to different values, and for
    an algorithm option that we cannot honour (`multi_label=1`).
    """
    resolved: dict[str, str] = {}
    source: dict[str, str] = {}
    notes: list[str] = []
    is_stopping_off = False
    for key, text in raw.items():
        name = key.replace("_", "-").lower()
        if name in IGNORED:
            notes.append(f"{key} is not needed: {IGNORED[name]}")
            continue
        if name == "early-stopping":
            is_stopping_off = not _switch_is_on(key, unquote(text))
            continue
        for target, value in _translate(key, name, unquote(text), known):
            if target in resolved and unquote(resolved[target]) != unquote(value):
                raise HyperparameterError(
                    key, text, f"to agree with {source[target]}={resolved[target]} (same knob)"
                )
            resolved[target], source[target] = value, key
            if target != name:
                notes.append(f"{key}={unquote(text)} is read as {target}={value}")
    if is_stopping_off:  # as in the built-in algorithm, its patience then means nothing
        resolved["early-stopping-patience"] = "0"
        notes.append("early_stopping is off: early-stopping-patience=0")
    return resolved, notes


def _translate(key: str, name: str, text: str, known: Collection[str]) -> list[Resolved]:
    """One given hyperparameter as zero or more of ours."""
    if name in known:
        return [(name, _same_word(name, text))]
    if name == "lr-scheduler-step":
        return [("lr-step-epochs", text), ("schedule", "step")]
    if name in SAME_VALUE:
        return [(SAME_VALUE[name], text)]
    if name == "num-layers":
        return [("arch", _resnet(key, text))]
    if name == "image-shape":
        return [("image-size", _square_side(key, text))]
    if name == "precision-dtype":
        return [("precision", {"float32": "fp32", "float16": "fp16"}.get(text, text))]
    if name in {"multi-label", "use-weighted-loss", "train-only-on-top-layer"}:
        return _switch(key, name, text)
    return [(name, text)]


def _same_word(name: str, text: str) -> str:
    return "nag" if (name, text) == ("optimizer", "nesterov") else text


def _switch(key: str, name: str, text: str) -> list[Resolved]:
    on = _switch_is_on(key, text)
    if name == "multi-label":
        if on:
            raise HyperparameterError(key, text, "0: one label a picture is what we train")
        return []
    if name == "use-weighted-loss":
        return [("balance", "weights" if on else "none")]
    return [("unfreeze", "none" if on else "all")]


def _switch_is_on(key: str, text: str) -> bool:
    try:
        return to_bool(text)
    except ValueError:
        raise HyperparameterError(key, text, "true or false") from None


def _resnet(key: str, text: str) -> str:
    if text not in {"18", "34", "50", "101", "152"}:
        raise HyperparameterError(key, text, "one of 18 | 34 | 50 | 101 | 152, or set arch")
    return f"resnet{text}"


def _square_side(key: str, text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or parts[0] != "3" or parts[1] != parts[2] or not parts[1].isdigit():
        raise HyperparameterError(key, text, "3,SIDE,SIDE, for example 3,224,224")
    return parts[1]
