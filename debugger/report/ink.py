"""Ink: the colours of figures. Each is drawn once and becomes a variable of the page's style.

So one figure serves light screens, dark ones and paper.
"""

from contract.theme import DARK, LIGHT

# Name -> what it is on light and on dark screens. No two are equal on light ones: a figure is
# drawn in those and each is then replaced by the variable of its name.
INKS: dict[str, tuple[str, str]] = {
    "surface": (LIGHT.surface, DARK.surface),
    "raised": (LIGHT.raised, DARK.raised),
    "line": (LIGHT.line, DARK.line),
    "text": (LIGHT.text, DARK.text),
    "muted": (LIGHT.muted, DARK.muted),
    # What a job's time goes to; the first is what nobody wants.
    "wait": (LIGHT.train, DARK.train),
    "copy": ("#d09a2c", "#e6bb62"),
    "forward": ("#74aaec", "#a3cbfb"),
    "backward": (LIGHT.validation, "#5c9ff0"),
    "optimizer": ("#143f82", "#4a80d6"),
    "evaluate": ("#2a8f79", "#57c0a8"),
    "checkpoint": ("#7f57b8", "#b497e6"),
    "features": ("#6f8428", "#adc25a"),
    "decode": ("#a4527b", "#dd8fb6"),
    "start": ("#8d8b80", "#8b897f"),
    "other": ("#c4c3bc", "#5d5c57"),
    "onpale": ("#1c1c1b", "#191918"),  # text on those of them that are pale on every screen
    # From 0 to 100 percent.
    "heat0": ("#edf1f6", "#20262d"),
    "heat1": ("#cfe2f8", "#1d3350"),
    "heat2": ("#a7caf2", "#20456f"),
    "heat3": ("#7bb0ea", "#245c99"),
    "heat4": ("#4f94e0", "#3a7fc8"),
    "heat5": ("#2d79d2", "#4f9be8"),
    "heat6": ("#1a58a8", "#8cc0f7"),
    "heat7": ("#0e3f80", "#cfe5ff"),
}
_SHARED = ("surface", "raised", "line", "text", "muted")  # which every page of ours defines
# Of things that only have to be told apart.
SERIES_INKS = (
    "backward",
    "wait",
    "evaluate",
    "checkpoint",
    "features",
    "decode",
    "copy",
    "optimizer",
)
HEATS = tuple(name for name in INKS if name.startswith("heat"))


def ink(name: str) -> str:
    """The colour to draw with, #rrggbb."""
    return INKS[name][0]


def variable(name: str) -> str:
    """The colour to write into the page."""
    return f"var(--{name})"


def build_variables() -> str:
    """CSS: the inks by their names, for light and dark screens."""
    own = [(name, pair) for name, pair in INKS.items() if name not in _SHARED]
    light = ";".join(f"--{name}:{pair[0]}" for name, pair in own)
    dark = ";".join(f"--{name}:{pair[1]}" for name, pair in own)
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
