"""User code: find, import and check the model's own `code/inference.py`. Rules: CONTRACT B.5."""

import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from contract.errors import BundleError
from serve.aws_names import offer_aws_names

log = logging.getLogger(__name__)

Function = Callable[..., Any]
# What user functions take before the optional context.
NUM_PARAMETERS = {
    "pre_model_fn": 1,
    "model_fn": 1,
    "model_warmup_fn": 2,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
}
ROOMS = frozenset({"contract", "classifier", "serve"})


@dataclass(frozen=True, slots=True)
class UserCode:
    """A user's module and those of its functions that are part of the contract."""

    path: Path
    functions: dict[str, Function]

    def has(self, name: str) -> bool:
        """True when the user wrote this function."""
        return name in self.functions

    @property
    def is_complete(self) -> bool:
        """True when no default function is ever called."""
        steps = {"input_fn", "predict_fn", "output_fn"}
        written = self.functions.keys()
        return "model_fn" in written and ("transform_fn" in written or steps <= written)


def find_user_code(model_dir: Path, base_dir: Path, program: str) -> Path | None:
    """The user's module: SAGEMAKER_PROGRAM in the model's code/, else below /opt/ml/code.

    The SDK's local mode sends a path of the caller's machine as the program; then its last
    part counts. None when there is no such file, which is no error: all defaults apply.
    """
    name = program if program.endswith(".py") else f"{program}.py"
    for folder in (model_dir / "code", base_dir / "code"):
        for candidate in (folder / name.lstrip("/"), folder / Path(name).name):
            if candidate.is_file():
                return candidate
    return None


def load_user_code(path: Path) -> UserCode:
    """Import the module with its folder and its lib/ first on the path.

    Raises BundleError when importing it fails, and for transform_fn beside a function that it
    replaces; the traceback is logged.
    """
    _say_what_is_not_installed(path.parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _importable(path.parent):
        offer_aws_names()
        sys.modules[path.stem] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            log.exception("importing %s failed", path)
            raise BundleError(
                f"{path.name} cannot be imported: {type(error).__name__}: {error}{_hint(error)}"
            ) from error
    return UserCode(path, _functions(module, path))


def call(function: Function, arguments: tuple[Any, ...], context: object) -> Any:
    """Call a user function by the number of its parameters, as AWS's toolkit counts them.

    As many as arguments: without the context; one more: with it. Raises TypeError otherwise.
    """
    wanted = len(inspect.signature(function).parameters)
    if wanted == len(arguments):
        return function(*arguments)
    if wanted == len(arguments) + 1:
        return function(*arguments, context)
    name = getattr(function, "__name__", "the function")
    raise TypeError(f"{name} takes {wanted} arguments but {len(arguments)} were given.")


def _functions(module: ModuleType, path: Path) -> dict[str, Function]:
    found = {
        name: getattr(module, name)
        for name in NUM_PARAMETERS
        if callable(getattr(module, name, None))
    }
    replaced = [name for name in ("input_fn", "predict_fn", "output_fn") if name in found]
    if "transform_fn" in found and replaced:
        raise BundleError(
            f"{path.name} has transform_fn and also {', '.join(replaced)}, which it replaces: "
            "keep the one or the others"
        )
    return found


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Put the user's folder first, and let it have modules called as our rooms are.

    Ours are all imported by now; they are set aside while the user's `classifier.py`, say, is
    imported, and come back after it.
    """
    names = {item.stem for item in folder.iterdir()} & ROOMS
    aside = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names
    }
    if names:
        log.warning(
            "%s holds modules called like Kennel's own: %s. They are imported now, but not "
            "again inside a function; rename them",
            folder,
            ", ".join(sorted(names)),
        )
    sys.path[:0] = [str(folder), str(folder / "lib")]
    try:
        yield
    finally:
        if names:
            for name in list(sys.modules):
                if name.partition(".")[0] in names:
                    del sys.modules[name]
        sys.modules.update(aside)


def _say_what_is_not_installed(folder: Path) -> None:
    if (folder / "requirements.txt").is_file():
        log.warning(
            "%s is not installed: a server that downloads at start is slow and may not start at "
            "all; build an image with these packages, or put them into code/lib",
            folder / "requirements.txt",
        )


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name in ("torch", "torchvision"):
        return "; this image computes without torch: use kennel-serve, not kennel-serve-cpu"
    if isinstance(error, ModuleNotFoundError):
        return "; put the package into code/lib or into the image"
    return ""
