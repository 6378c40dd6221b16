"""MaxInitializationTime: the first step comes late."""

from typing import Any

from contract.rule_result import Finding
from debugger.profile.facts import Facts
from debugger.profile.numbers import in_percent, in_seconds
from debugger.profile.parameters import MaxInitializationTime
from debugger.profile.phases import DECODE, FEATURES
from debugger.profile.verdict import State, Verdict, not_enough


def judge_max_initialization_time(facts: Facts, parameters: MaxInitializationTime) -> Verdict:
    """Fires when more than `threshold` minutes pass before the first training step.

    AWS fires only as long as no step has come, at the end of a minute, and calls the last
    sample's time the end of the job; here the time until the first step is what counts, also
    after it has come, and the job ends with its last event.
    """
    profile = facts.profile
    if not profile.seconds:
        return not_enough(0, 0, "seconds of the job")
    details = _details(facts)
    datapoints = sum(len(one) for one in facts.steps)
    first = facts.loop[0] if facts.loop else profile.ended_at
    waited = max(0.0, first - profile.started_at)
    details["initialization_seconds"] = waited
    share = in_percent(100 * waited / profile.seconds)
    until = "before the first step" if facts.loop else "without a step"
    sentence = f"{in_seconds(waited)} {until}, {share} of the job"
    if waited <= parameters.threshold * 60:
        if not facts.loop:
            return Verdict(state=State.NOT_ENOUGH, sentence=f"no step was recorded: {sentence}",
                           details=details)  # fmt: skip
        return Verdict(state=State.FINE, sentence=sentence, datapoints=datapoints, details=details)
    finding = Finding(
        step=facts.window_of(first, parameters.scan_interval_us),
        value=waited / 60,
        threshold=parameters.threshold,
        message=f"{sentence}; the limit is {parameters.threshold:g} minutes",
        advice=_advice(facts),
    )
    details["gain_percent"] = 100 * waited / profile.seconds
    return Verdict(
        state=State.FIRED,
        sentence=finding.message,
        triggered=1,
        violations=1,
        datapoints=datapoints,
        details=details,
        findings=[finding],
    )


def _details(facts: Facts) -> dict[str, Any]:
    """AWS's fields; all steps count there, those of evaluations too."""
    starts = sorted(float(one) for steps in facts.steps for one in steps.starts[[0, -1]])
    steps = {"first": round(starts[0] * 1e6), "last": round(starts[-1] * 1e6)} if starts else {}
    profile = facts.profile
    return {"step_num": steps, "job_start": profile.started_at, "job_end": profile.ended_at}


def _advice(facts: Facts) -> str:
    """The longest thing that was recorded before the first step."""
    end = facts.loop[0] if facts.loop else facts.profile.ended_at
    known = {FEATURES: 0.0, DECODE: 0.0}
    for phase in known:
        starts, ends = facts.index.spans(phase)
        known[phase] = float((ends - starts)[starts < end].sum())
    longest = max(known, key=lambda phase: known[phase])
    if not known[longest]:
        return (
            "the pictures may still come down: use FastFile mode or shards (kennel data pack), so "
            "that training begins with the first of them"
        )
    return (
        f"{longest} took {in_seconds(known[longest])} of it: keep decoded pictures and features "
        "for the next job (KENNEL_CACHE_DIR on a volume that stays)"
    )
