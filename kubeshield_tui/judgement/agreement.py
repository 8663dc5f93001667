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
from kubeshield_tui.model.observation import Observation, Reason
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
    seen = seen_of(observation)
    expected, denying = chain.expected[seen], chain.denying
    if expected is Expected.REJECT_ICMP and seen is Seen.REFUSED and observation.reason is Reason.PORT_UNREACH:
        seen = Seen.REJECTED  # over UDP a closed port says the same as such a reject
    since = same_since(sightings)
    given = Circumstances(
        complete=chain.is_complete,
        assumed=chain.is_assumed,
        listener=chain.listener,
        deny_style=chain.deny_style,
        collapsed=collapsed,
        rejecter_fits=_fits(chain, denying, observation),
        proven=proof.target_alive and proof.vantage_alive,
        front=chain.front,
        settled=observation.at - chain.changed_at >= SETTLE_SECONDS,
        twice=bool(sightings) and sightings[-1].at - since >= RESET_GAP,
        blackhole=denying is not None and "blackhole" in denying.decider,
    )
    found = _compared(expected, seen, given)
    wants = []
    if found.code in {Code.NOT_ENFORCED, Code.BYPASSED} and not given.twice and sightings:
        wants.append(Want(observation.key, since + RESET_GAP))
    if not given.settled and _compared(expected, seen, given._replace(settled=True)).code in DISAGREEMENTS:
        wants.append(Want(observation.key, chain.changed_at + SETTLE_SECONDS))
    return Agreement(found, tuple(wants))


_compared = lru_cache(4096)(compare)
"""A grid has few kinds of cells."""


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
