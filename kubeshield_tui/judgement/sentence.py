"""A cell in one sentence for people."""

from __future__ import annotations

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
    verdict: Verdict, observation: Observation, endpoint: Endpoint, expectation: Expectation, proof: Proof
) -> str:
    """Say what a cell amounts to and why: `kubelet n1 from pod:shop: EXPOSED, open, ...`."""
    doubt = f" Not decided: {expectation.undecided[0]}." if expectation.undecided else ""
    return _of_verdict(verdict, observation, endpoint, expectation, proof) + doubt


def _of_verdict(
    verdict: Verdict, observation: Observation, endpoint: Endpoint, expectation: Expectation, proof: Proof
) -> str:
    vantage = observation.vantage
    head = f"{endpoint.name} from {vantage}: {verdict.upper()}, {describe(observation)}."
    match verdict:
        case Verdict.EXPOSED | Verdict.BROKEN:
            return f"{head} Must be {expectation.must}: {expectation.source}."
        case Verdict.BLOCKED:
            return f"{head} Proven: {proof.target_by} saw it open, {vantage} reached {proof.vantage_by}."
        case Verdict.DEAD:
            return f"{head} Nothing listens, seen from anywhere; the path may well be open."
        case Verdict.UNPROVEN:
            return f"{head} Not proven: {_lacking(observation, proof)}."
        case Verdict.LOST | Verdict.UNTESTED:
            return f"{head} {observation.detail}".rstrip()
        case Verdict.REACHABLE:
            waiver = expectation.waiver
            return f"{head} Excepted by {waiver.owner} until {waiver.expires}." if waiver else head


def _lacking(observation: Observation, proof: Proof) -> str:
    if proof.missing:
        return proof.missing
    if observation.state is State.CLOSED:
        return "a reset on the target's behalf counts when it was seen twice, 5 s apart"
    if observation.state is State.OPEN_FILTERED:
        return "silence says nothing here"
    return "silence was met once only"
