"""One cell's rules beside its answer: the circumstances that bear on the comparison, and what it comes to. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from kubeshield_tui.judgement.chain import Chain
from kubeshield_tui.judgement.comparison import (
    DISAGREEMENTS,
    Circumstances,
    Code,
    Comparison,
    Expected,
    Seen,
    compare,
    seen_of,
)
from kubeshield_tui.judgement.ledger import Sighting
from kubeshield_tui.judgement.proof import RESET_GAP, Want
from kubeshield_tui.model.observation import Icmp, Observation, Reason, State
from kubeshield_tui.model.verdict import Layer, Proof

SETTLE_SECONDS = 60.0
"""How long a policy may take until it is programmed everywhere."""
_CODES = {
    "net-unreachable": Reason.NET_UNREACH,
    "no-route": Reason.NET_UNREACH,
    "host-unreachable": Reason.HOST_UNREACH,
    "addr-unreachable": Reason.HOST_UNREACH,
    "prot-unreachable": Reason.PROTO_UNREACH,
    "port-unreachable": Reason.PORT_UNREACH,
    "net-prohibited": Reason.NET_PROHIBITED,
    "host-prohibited": Reason.HOST_PROHIBITED,
    "admin-prohibited": Reason.ADMIN_PROHIBITED,
    "policy-fail": Reason.ADMIN_PROHIBITED,
    "reject-route": Reason.ADMIN_PROHIBITED,
}
"""How an ICMP reject, by nft's name without its family, is met."""


NEWER_RULES = Comparison(Code.COMPATIBLE, "the policies are others than when it was asked")
RECORDED = Comparison(Code.NOT_COMPARED, "the answer comes from a file: rules may have been others then")


_GRAVE = frozenset({Code.NOT_ENFORCED, Code.BYPASSED})
"""What is not believed before it was seen twice."""


class Answer(NamedTuple):
    """All of an answer that bears on the comparison, beside the chain and how old its rules are."""

    state: State
    reason: Reason
    icmp: Icmp | None
    collapsed: bool
    """From there a reject and a closed port look alike."""
    proven: bool
    twice: bool


class Agreement(NamedTuple):
    """What comparing came to."""

    comparison: Comparison
    wants: tuple[Want, ...] = ()
    """When to ask again, so that more can be said."""


def agreement_of(
    chain: Chain, observation: Observation, sightings: tuple[Sighting, ...], proof: Proof, *, collapsed: bool
) -> Agreement:
    """Compare what the rules on a cell's way say with what was observed.

    `sightings`: the cell's own, newest last. `collapsed`: from there a reject and a closed port look alike.
    """
    if chain.changed_at > observation.at:
        return Agreement(NEWER_RULES)
    since = same_since(sightings)
    answer = Answer(
        observation.state,
        observation.reason,
        observation.icmp,
        collapsed,
        proof.target_alive and proof.vantage_alive,
        bool(sightings) and sightings[-1].at - since >= RESET_GAP,
    )
    settled = observation.at - chain.changed_at >= SETTLE_SECONDS
    found = _told(chain, observation, answer, settled)
    if settled and found.code not in _GRAVE:
        return _plain(found)
    wants = []
    if found.code in _GRAVE and not answer.twice and sightings:
        wants.append(Want(observation.key, since + RESET_GAP))
    if not settled and _told(chain, observation, answer, True).code in DISAGREEMENTS:
        wants.append(Want(observation.key, chain.changed_at + SETTLE_SECONDS))
    return Agreement(found, tuple(wants))


_plain = lru_cache(4096)(Agreement)
"""A grid has few kinds of cells."""


def _told(chain: Chain, observation: Observation, answer: Answer, settled: bool) -> Comparison:
    """What the comparison comes to, worked out once for all cells of a chain that were answered alike."""
    found = chain.told.get((answer, settled))
    if found is None:
        found = chain.told[answer, settled] = _compared(chain, observation, answer, settled)
    return found


def _compared(chain: Chain, observation: Observation, answer: Answer, settled: bool) -> Comparison:
    seen = seen_of(observation)
    expected, denying = chain.expected[seen], chain.denying
    if expected is Expected.REJECT_ICMP and seen is Seen.REFUSED and observation.reason is Reason.PORT_UNREACH:
        seen = Seen.REJECTED  # over UDP a closed port says the same as such a reject
    given = Circumstances(
        complete=chain.is_complete,
        assumed=chain.is_assumed,
        listener=chain.listener,
        deny_style=chain.deny_style,
        collapsed=answer.collapsed,
        rejecter_fits=_fits(chain, denying, observation),
        proven=answer.proven,
        front=chain.front,
        settled=settled,
        twice=answer.twice,
        blackhole=denying is not None and "blackhole" in denying.decider,
    )
    return compare(expected, seen, given)


def same_since(sightings: tuple[Sighting, ...]) -> float:
    """When the run of answers of the newest one's state began, seconds since the epoch; 0 without any."""
    since = 0.0
    for seen in reversed(sightings):
        if seen.state is not sightings[-1].state:
            break
        since = seen.at
    return since


def _fits(chain: Chain, denying: Layer | None, observation: Observation) -> bool | None:
    """Whether an ICMP error came from the host, and with the code, that the rules name; None where that is open."""
    if denying is None or observation.icmp is None or not chain.rejecters:
        return None
    if observation.icmp.source not in chain.rejecters:
        return False
    code = _CODES.get(denying.answer.partition("-")[2])
    return None if code is None else observation.reason is code
