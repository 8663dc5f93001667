"""The rules on a way beside an answer: the circumstances that bear on the comparison, and what it comes to. Pure."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from kubeshield_tui.judgement.answer import Answer
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
from kubeshield_tui.model.observation import Reason
from kubeshield_tui.model.verdict import Layer

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
NOT_MEASURED = Comparison(Code.NOT_COMPARED, "nothing was measured")


_GRAVE = frozenset({Code.NOT_ENFORCED, Code.BYPASSED})
"""What is not believed before it was seen twice."""


class Rules(IntEnum):
    """How old the rules were when the answer came."""

    NEWER = 0
    """They are others by now."""
    YOUNG = 1
    """They may not be programmed everywhere yet."""
    SETTLED = 2


class Agreement(NamedTuple):
    """What comparing came to."""

    comparison: Comparison
    again: bool = False
    """To be asked again: what is grave is not believed before it was seen twice."""
    later: bool = False
    """To be asked again when the rules are settled: more can be said then."""


def age_of(changed_at: float, observed_at: float) -> Rules:
    """How old rules that are as they are since `changed_at` were (both in seconds since the epoch)."""
    since = observed_at - changed_at
    return SETTLED if since >= SETTLE_SECONDS else NEWER if since < 0 else YOUNG


NEWER, YOUNG, SETTLED = Rules


def agreement_of(chain: Chain, answer: Answer, rules: Rules, *, proven: bool, collapsed: bool) -> Agreement:
    """Compare what the rules on a cell's way say with how it was answered.

    `proven`: target and vantage were both seen alive. `collapsed`: from there a reject and a closed port look alike.
    """
    if rules is Rules.NEWER:
        return Agreement(NEWER_RULES)
    settled = rules is Rules.SETTLED
    found = _compared(chain, answer, settled=settled, proven=proven, collapsed=collapsed)
    again = found.code in _GRAVE and not answer.twice
    if settled:
        return Agreement(found, again)
    then = _compared(chain, answer, settled=True, proven=proven, collapsed=collapsed)
    return Agreement(found, again, then.code in DISAGREEMENTS)


def _compared(chain: Chain, answer: Answer, *, settled: bool, proven: bool, collapsed: bool) -> Comparison:
    seen = seen_of(answer.state, answer.reason)
    expected, denying = chain.expected(seen), chain.denying
    if expected is Expected.REJECT_ICMP and seen is Seen.REFUSED and answer.reason is Reason.PORT_UNREACH:
        seen = Seen.REJECTED  # over UDP a closed port says the same as such a reject
    given = Circumstances(
        complete=chain.is_complete,
        assumed=chain.is_assumed,
        listener=chain.listener,
        deny_style=chain.deny_style,
        collapsed=collapsed,
        rejecter_fits=_fits(chain, denying, answer),
        proven=proven,
        front=chain.front,
        settled=settled,
        twice=answer.twice,
        blackhole=denying is not None and "blackhole" in denying.decider,
    )
    return compare(expected, seen, given)


def _fits(chain: Chain, denying: Layer | None, answer: Answer) -> bool | None:
    """Whether an ICMP error came from the host, and with the code, that the rules name; None where that is open."""
    if denying is None or answer.icmp is None or not chain.rejecters:
        return None
    if answer.icmp.source not in chain.rejecters:
        return False
    code = _CODES.get(denying.answer.partition("-")[2])
    return None if code is None else answer.reason is code
