"""An answer, and what is declared for a cell, in a few words for people."""

from __future__ import annotations

from kubeshield_tui.model.expectation import Expectation
from kubeshield_tui.model.observation import Observation, Posture


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
