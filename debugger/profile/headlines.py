"""The first three sentences of a profile's report: what to change, and what it would gain."""

from collections.abc import Sequence

from contract.rule_result import RuleResult
from debugger.profile import summary
from debugger.profile.data import Profile
from debugger.profile.facts import Facts
from debugger.profile.numbers import in_percent, in_seconds, shares
from debugger.profile.time_shares import read_shares
from debugger.profile.verdict import State, state_of

# Of rules that save as much, the one that names the cause comes first: an idle GPU is a symptom.
_CAUSES = (
    "LoadBalancing", "IOBottleneck", "Dataloader", "CPUBottleneck", "BatchSize",
    "MaxInitializationTime", "StepOutlier", "GPUMemoryIncrease", "LowGPUUtilization",
)  # fmt: skip
_NEXT = {
    summary.WAIT: "more loader workers or smaller pictures are what is left to try",
    summary.FORWARD: "what is left is the network itself: precision bf16, a smaller image-size or "
    "arch, or a faster device",
    summary.EVALUATION: "a smaller validation channel is what is left to try",
    summary.CHECKPOINTS: "rarer checkpoints are what is left to try",
    summary.FEATURES: "what is left is the network itself: a smaller arch or image-size, or a "
    "faster device; features are kept, so the next job starts at once",
    summary.DECODING: "pictures stored at the size that the network sees are what is left to try",
    summary.START_UP: "the start is what is left; a longer job pays it only once",
    summary.FINALIZATION: "writing the bundle is what is left; a longer job pays it only once",
}
_NEXT[summary.BACKWARD] = _NEXT[summary.FORWARD]
_OTHERWISE = "no single change would save much"


def headlines(profile: Profile, results: Sequence[RuleResult]) -> tuple[str, str, str]:
    """Three sentences: the finding that costs most, what to change, what that would gain.

    Where no rule fired: that, where the time goes, and what is left to try. `results`: of
    evaluate_profile, in any order.
    """
    facts = Facts.of(profile)
    ranked = rank(facts, results)
    if not ranked:
        return _nothing(facts, results)
    first, gain = ranked[0], _gain_of_job(facts, ranked[0])
    also = [one.rule for one in ranked[1:]]
    finding = first.findings[0]
    return (
        _sentence(finding.message),
        _sentence(f"What to change: {finding.advice}"),
        _sentence(f"{_gain(profile, gain)}{_also(also)}"),
    )


def rank(facts: Facts, results: Sequence[RuleResult]) -> list[RuleResult]:
    """Those that fired, what costs most first; of equals the cause before the symptom."""
    fired = [one for one in results if one.status == "IssuesFound" and one.findings]
    return sorted(
        (one for one in fired if one.rule in _CAUSES),
        key=lambda one: (-_gain_of_job(facts, one), _CAUSES.index(one.rule)),
    )


def _gain_of_job(facts: Facts, result: RuleResult) -> float:
    """Percent of the whole job. Rules tell percent of a training step, or of the job itself."""
    told = result.report.get("Details", {}).get("gain_percent")
    if not isinstance(told, (int, float)) or result.rule == "LowGPUUtilization":
        return 0.0
    if result.rule == "MaxInitializationTime" or not facts.training:
        return float(told)
    total = sum(one.total() for one in facts.training)
    whole = facts.profile.seconds * len(facts.training)
    return float(told) * total / whole if whole > 0 else 0.0


def _gain(profile: Profile, percent: float) -> str:
    if percent < 1:
        return "What that saves cannot be told from the timeline"
    saved = profile.seconds * percent / 100
    return (
        f"That would save about {in_seconds(saved)} of {in_seconds(profile.seconds)}, "
        f"{in_percent(percent)} of the job, by the timeline"
    )


def _also(rules: Sequence[str]) -> str:
    return f"; also fired: {', '.join(rules)}" if rules else ""


def _nothing(facts: Facts, results: Sequence[RuleResult]) -> tuple[str, str, str]:
    states = [state_of(one) for one in results if one.rule in _CAUSES]
    checked = states.count(State.FINE)
    unsure = states.count(State.NOT_ENOUGH)
    first = f"Nothing to change was found: {checked} of {len(states)} rules checked, none fired"
    if unsure:
        first += f", and {unsure} had not enough data"
    parts = shares(read_shares(facts))
    if not parts:
        return (
            _sentence(first),
            "No step was recorded, so it cannot be told where the time goes.",
            "Record a timeline with the next job to know more.",
        )
    most = sorted(parts, key=lambda part: -parts[part])[:2]
    told = " and ".join(f"{in_percent(parts[part])} {part}" for part in most)
    return (
        _sentence(first),
        _sentence(f"The job took {in_seconds(facts.profile.seconds)}; most of that is {told}"),
        _sentence(_NEXT.get(most[0], _OTHERWISE)),
    )


def _sentence(text: str) -> str:
    """A host's name stays as it is."""
    first = text.split(maxsplit=1)[0]
    begun = f"{text[0].upper()}{text[1:]}" if first.isalpha() else text
    return begun if begun.endswith(".") else f"{begun}."
