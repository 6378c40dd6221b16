"""Text to typed values: the declared type decides and nothing is guessed."""

import json
import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

TRUE_WORDS = frozenset({"true", "1", "yes", "on"})
FALSE_WORDS = frozenset({"false", "0", "no", "off"})


def unquote(text: str) -> str:
    """Undo the SDK's extra JSON encoding: `"\\"adam\\""` and `"adam"` both become `adam`.

    SageMaker sends every hyperparameter as a string; SDK v2 in script mode JSON-encodes strings
    once more, and categorical tuning values twice. Only a value that is wholly a JSON string is
    unwrapped, so `007` and `1e3` stay as they were typed.
    """
    for _ in range(3):
        stripped = text.strip()
        if len(stripped) < 2 or stripped[0] != '"' or stripped[-1] != '"':
            return stripped
        try:
            inner = json.loads(stripped)
        except ValueError:
            return stripped
        if not isinstance(inner, str):
            return stripped
        text = inner
    return text.strip()


def to_bool(text: str) -> bool:
    """`true|false|1|0|yes|no|on|off` in any case. Raises ValueError otherwise."""
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(text)


def to_int(text: str) -> int:
    """A whole number; `32.0` and `1e2` count, because tuners send them. Raises ValueError."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not math.isfinite(number) or number != int(number):
            raise ValueError(text) from None
        return int(number)


def to_float(text: str) -> float:
    """A finite number. Raises ValueError for anything else, `nan` and `inf` included."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def in_words(kind: type, choices: tuple[str, ...], bounds: Mapping[str, float | None]) -> str:
    """What a correct value looks like: `one of a | b`, `a whole number >= 1 and <= 9`.

    `bounds`: by their signs, None where there is none.
    """
    if choices:
        return "one of " + " | ".join(choices)
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text"
    noun = "a whole number" if kind is int else "a number"
    given = [f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None]
    return " and ".join([f"{noun} {given[0]}", *given[1:]]) if given else noun


def nearest_word(given: str, words: Iterable[str]) -> str | None:
    """The one of `words` that begins so, in any case, or is the nearest."""
    known = list(words)
    begun = [word for word in known if given and word.lower().startswith(given.lower())]
    return begun[0] if begun else nearest(given.capitalize(), known)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely meant, or None."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
