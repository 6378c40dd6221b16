"""--debug, --profile and --rule: the Debugger and the profiler on top of a job's file."""

import argparse
from dataclasses import dataclass, replace

from contract.profiler_config import ProfilerConfig
from contract.rules import RuleSpec
from control.debug_spec import (
    CLASSIC_RULES,
    DEFAULT_COLLECTIONS,
    DebugSpec,
    default_hook,
    ready_collection,
)
from control.parser import Parser
from control.rule_tables import rule_of

RULE_SYNTAX = "NAME[:PARAMETER=VALUE,...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugFlags:
    """What the command line says on top of a file."""

    debug: bool = False
    profile: bool = False
    rules: tuple[RuleSpec, ...] = ()

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "DebugFlags":
        """Those of a command that has them. Raises UsageError: no such rule."""
        return cls(
            debug=arguments.debug,
            profile=arguments.profile,
            rules=tuple(rule_of(words) for words in arguments.rule),
        )

    def on(self, spec: DebugSpec) -> DebugSpec:
        """What the file says, and these. Nothing of the file is taken away."""
        if self.debug:
            spec = _debugged(spec)
        spec = spec.with_rules(self.rules)
        if self.profile:
            spec = replace(spec, profiler=spec.profiler or ProfilerConfig()).with_report()
        return spec


def add_debug_flags(parser: Parser) -> None:
    """The three flags."""
    parser.add_argument(
        "--debug",
        action="store_true",
        help=f"save {', '.join(DEFAULT_COLLECTIONS)}, and have the five classic rules look at them",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="measure the machine and the steps every 500 ms, and write the profiler's report",
    )
    parser.add_argument(
        "--rule",
        action="append",
        default=[],
        metavar=RULE_SYNTAX,
        help="a rule of docs/debugger.md that watches the job; may be repeated",
    )


def _debugged(spec: DebugSpec) -> DebugSpec:
    hook = spec.hook or default_hook()
    present = {one.name for one in hook.collections}
    more = tuple(ready_collection(name) for name in DEFAULT_COLLECTIONS if name not in present)
    watched = {rule.rule for rule in spec.rules}
    classic = [RuleSpec(name=name, rule=name) for name in CLASSIC_RULES if name not in watched]
    hook = replace(hook, collections=(*hook.collections, *more))
    return replace(spec, hook=hook).with_rules(classic)
