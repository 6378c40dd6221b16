"""Stand-ins for modules that a library imports and nobody calls, where they are not installed."""

import importlib.util
import sys
from types import ModuleType


def stand_in(name: str, *attributes: str) -> None:
    """Put an empty module in the place of `name` if there is none; its attributes are None."""
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    module = ModuleType(name, "A stand-in: the package is not installed.")
    for attribute in attributes:
        setattr(module, attribute, None)
    sys.modules[name] = module
