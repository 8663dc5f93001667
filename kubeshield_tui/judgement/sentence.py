"""A cell in one sentence for people."""

from __future__ import annotations

from collections.abc import Callable

from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import Expectation
from kubeshield_tui.model.observation import Observation, Posture, State
from kubeshield_tui.model.verdict import Proof, Verdict


def describe(observation: Observation) -> str:
    """An answer in a few words: `open, syn-ack in 0.4 ms, auth-required (GET /version 401)`."""
    words = [f"{observation.state}, {observation.reason}"]
    if observation.latency_ms is not None:
        words[0] += f" in {observation.latency_ms:.1f} ms"
    if observation.icmp is not None and observation.icmp.source:
        words[0] += f" from {observation.icmp.source}"
    if observation.posture is not Posture.UNKNOWN:
        answers = ", ".join(f"{said.method} {said.path} {said.status}" for said in observation.http if said.status)
        words.append(f"{observation.posture} ({answers})" if answers else str(observation.posture))
    return ", ".join(words)


def declared(expectation: Expectation) -> tuple[tuple[str, str], ...]:
    """What is declared for a cell, as (label, text): the line that decides, why, by whom, and what is not sure."""
    waiver = expectation.waiver
    told = [("must be", f"{expectation.must}: {expectation.source}")]
    if waiver is not None:
        told.append(("exception", f"of {waiver.owner} until {waiver.expires}: {waiver.reason}"))
    elif expectation.because:
        told.append(("reason", expectation.because))
    told.extend(("expired", line) for line in expectation.expired)
    told.extend(("undecided", f"{line}; held to the strictest") for line in expectation.undecided)
    return tuple(told)


def sentence_of(
    verdict: Verdict, observation: Observation, words: str, endpoint: Endpoint, expectation: Expectation, proof: Proof
) -> str:
    """Say what a cell amounts to and why: `kubelet n1 from pod:shop: EXPOSED, open, ...`.

    `words`: the answer, as `describe` tells it.
    """
    told = f"{endpoint.name} from {observation.vantage}: {_LOUD[verdict]}, {words}."
    if (reason := _REASONS.get(verdict)) is not None:
        told = f"{told} {reason(observation, expectation, proof)}"
    elif expectation.waiver is not None:
        told = f"{told} Excepted by {expectation.waiver.owner} until {expectation.waiver.expires}."
    return f"{told} Not decided: {expectation.undecided[0]}." if expectation.undecided else told


_LOUD = {verdict: verdict.upper() for verdict in Verdict}


def _declared(_: Observation, expectation: Expectation, __: Proof) -> str:
    return f"Must be {expectation.must}: {expectation.source}."


def _proven(observation: Observation, _: Expectation, proof: Proof) -> str:
    return f"Proven: {proof.target_by} saw it open, {observation.vantage} reached {proof.vantage_by}."


def _dead(*_: object) -> str:
    return "Nothing listens, seen from anywhere; the path may well be open."


def _unproven(observation: Observation, _: Expectation, proof: Proof) -> str:
    return f"Not proven: {_lacking(observation, proof)}."


def _unmeasured(observation: Observation, *_: object) -> str:
    return observation.detail or "Nothing was measured."


_REASONS: dict[Verdict, Callable[[Observation, Expectation, Proof], str]] = {
    Verdict.EXPOSED: _declared,
    Verdict.BROKEN: _declared,
    Verdict.BLOCKED: _proven,
    Verdict.DEAD: _dead,
    Verdict.UNPROVEN: _unproven,
    Verdict.LOST: _unmeasured,
    Verdict.UNTESTED: _unmeasured,
}


def _lacking(observation: Observation, proof: Proof) -> str:
    if proof.missing:
        return proof.missing
    if observation.state is State.CLOSED:
        return "a reset on the target's behalf counts when it was seen twice, 5 s apart"
    if observation.state is State.OPEN_FILTERED:
        return "silence says nothing here"
    return "silence was met once only"
