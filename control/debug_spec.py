"""DebugSpec: what a job saves and measures of itself, and which rules look at it.

Rules bring what they need: their collections are saved, too, and the profiler is turned on.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from contract.errors import SpecError
from contract.hook_config import BUILT_IN_COLLECTIONS, READY_REGEXES, Collection, HookConfig
from contract.profiler_config import ProfilerConfig
from contract.rules import MOST_RULES, RuleSpec
from contract.strict import nearest

DEFAULT_COLLECTIONS = ("losses", "weights", "gradients", "biases")
AUTO = "auto"  # as save_interval: training picks it from the number of steps that it plans
CLASSIC_RULES = (
    "VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization", "LossNotDecreasing",
)  # fmt: skip
# A rule that was told other names of tensors needs those: collection -> the rule's parameter.
REGEX_PARAMETERS = {"relu_input": "activation_inputs_regex", "relu_output": "tensor_regex"}
# Rules whose defaults are names of other frameworks: what they are told here unless the user says
# something else, and the collections that hold it.
OUR_NAMES: Mapping[str, Mapping[str, str]] = {
    "ClassImbalance": {
        "labels_regex": READY_REGEXES["labels"],
        "predictions_regex": READY_REGEXES["predictions"],
        "argmax": "true",
    },
    "CheckInputImages": {"regex": READY_REGEXES["input_image"]},
}
OUR_COLLECTIONS: Mapping[str, tuple[str, ...]] = {
    "ClassImbalance": ("labels", "predictions"),
    "Confusion": ("labels", "predictions"),
    "CheckInputImages": ("input_image",),
}
# It is a folder's name below rule-output/.
RULE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugSpec:
    """The tables [debugger], [profiler] and [rules] of a job."""

    hook: HookConfig | None = None  # None: no tensors are saved
    profiler: ProfilerConfig | None = None  # None: nothing is measured
    rules: tuple[RuleSpec, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was added, a line each

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        for name in names:
            if not RULE_NAME.fullmatch(name):
                raise SpecError(
                    f"rule {name!r}: expected at most 64 letters, digits, dots, hyphens and "
                    "underscores: its results get a folder of this name"
                )
            if names.count(name) > 1:
                raise SpecError(f"two rules are called {name}: give one of them another name")
        for rules, scope in ((self.tensor_rules, "tensors"), (self.profile_rules, "the profile")):
            if len(rules) > MOST_RULES:
                raise SpecError(
                    f"a job has at most {MOST_RULES} rules over {scope}, got {len(rules)}"
                )

    @property
    def is_on(self) -> bool:
        """Whether anything is saved, measured or looked at."""
        return bool(self.hook or self.profiler or self.rules)

    @property
    def tensor_rules(self) -> tuple[RuleSpec, ...]:
        """Those over saved tensors. The user's own are smdebug rules, and so among them."""
        return tuple(one for one in self.rules if one.kind is None or one.kind.scope == "tensors")

    @property
    def profile_rules(self) -> tuple[RuleSpec, ...]:
        """Those over system metrics and timeline."""
        return tuple(one for one in self.rules if one not in self.tensor_rules)

    def with_rules(self, rules: Iterable[RuleSpec]) -> "DebugSpec":
        """Besides these; a rule of the same name takes the earlier one's place."""
        by_name = {rule.name: rule for rule in (*self.rules, *rules)}
        return replace(self, rules=tuple(by_name.values()))

    def with_report(self) -> "DebugSpec":
        """With the ProfilerReport unless a rule looks at the profile, as SageMaker's SDK does."""
        if self.profile_rules:
            return self
        return self.with_rules([RuleSpec(name="ProfilerReport", rule="ProfilerReport")])

    def completed(self) -> "DebugSpec":
        """With all that the rules need, and a note on each addition.

        Raises SpecError: a rule names a collection that nobody described.
        """
        hook, profiler, notes = self.hook, self.profiler, list(self.notes)
        if self.tensor_rules and hook is None:
            hook = default_hook()
            names = ", ".join(DEFAULT_COLLECTIONS)
            notes.append(f"rules look at saved tensors: {names} are saved, as [debugger] would")
        for rule in self.tensor_rules if hook else ():
            hook, added = _with_needs(hook or default_hook(), rule)
            if added:
                notes.append(f"rule {rule.name} needs {' and '.join(added)}: saved, too")
        if self.profile_rules and profiler is None:
            profiler = ProfilerConfig()
            name = self.profile_rules[0].name
            notes.append(f"rule {name} needs the profiler: it is on, every 500 ms")
        rules = tuple(by_our_names(rule) for rule in self.rules)
        return replace(self, hook=hook, profiler=profiler, rules=rules, notes=tuple(notes))


def default_hook() -> HookConfig:
    """What an empty [debugger] saves."""
    collections = tuple(Collection(name=name) for name in DEFAULT_COLLECTIONS)
    return HookConfig(collections=collections, parameters={"save_interval": AUTO})


def ready_collection(name: str, **parameters: str) -> Collection:
    """A collection by a name that is known. Raises SpecError for one that needs a regex."""
    if name in READY_REGEXES:
        parameters.setdefault("include_regex", READY_REGEXES[name])
    elif name not in BUILT_IN_COLLECTIONS and "include_regex" not in parameters:
        known = (*BUILT_IN_COLLECTIONS, *READY_REGEXES)
        near = nearest(name, known)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
        raise SpecError(f"collection {name!r}: one of your own needs an include_regex; {hint}")
    return Collection(name=name, parameters=parameters)


def by_our_names(rule: RuleSpec) -> RuleSpec:
    """A built-in rule that looks for the names of this project unless it was told others."""
    ours = OUR_NAMES.get(rule.rule)
    if rule.source or not ours or ours.keys() & rule.parameters.keys():
        return rule
    return replace(rule, parameters={**rule.parameters, **ours})


def _with_needs(hook: HookConfig, rule: RuleSpec) -> tuple[HookConfig, list[str]]:
    """The hook that serves a rule, and which collections that added."""
    present = {one.name for one in hook.collections}
    kind = rule.kind
    needed = list(kind.collections) if kind else []
    ours = OUR_NAMES.get(rule.rule, {})
    if not rule.source and not ours.keys() & rule.parameters.keys():
        needed += OUR_COLLECTIONS.get(rule.rule, ())
    asked = rule.parameters.get("collection_names", "")
    needed += [name.strip() for name in asked.split(",") if name.strip()]
    added = []
    for name in dict.fromkeys(needed):
        if name in present:
            continue
        given = rule.parameters.get(REGEX_PARAMETERS.get(name, ""))
        regex = {"include_regex": given} if given else {}
        try:
            collection = ready_collection(name, **regex, **_sparing(rule, name))
        except SpecError as error:
            raise SpecError(f"rule {rule.name}: {error}") from None
        hook = replace(hook, collections=(*hook.collections, collection))
        added.append(name)
    return _with_first_losses(hook, rule), added


def _with_first_losses(hook: HookConfig, rule: RuleSpec) -> HookConfig:
    """PoorWeightInitialization looks for a fall among the first losses: they come besides."""
    if rule.rule != "PoorWeightInitialization":
        return hook
    steps = ",".join(map(str, range(int(rule.values()["steps"] or 0))))
    collections = tuple(
        replace(one, parameters={"save_steps": steps})
        if one.name == "losses" and not one.parameters
        else one
        for one in hook.collections
    )
    return replace(hook, collections=collections)


def _sparing(rule: RuleSpec, collection: str) -> dict[str, str]:
    """Activations are hundreds of megabytes a step: no more of them than the rule looks at."""
    if (rule.rule, collection) != ("PoorWeightInitialization", "relu_input"):
        return {}
    last = str(rule.values()["steps"])  # of the first ones, and their variances alone
    return {"reductions": "variance", "save_interval": "5", "end_step": last}
