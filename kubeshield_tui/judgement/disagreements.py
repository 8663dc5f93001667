"""Findings where rules and reality disagree: what was declared and is not so, why, how to see it, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from kubeshield_tui.judgement.chain import POLICIES, first_denying
from kubeshield_tui.judgement.comparison import DISAGREEMENTS, Code
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.verdict import Judgement

CODES = frozenset(str(code) for code in DISAGREEMENTS)
"""Codes of a comparison that are findings."""
_TITLES = {
    Code.NOT_ENFORCED: "is let in from {vantage} though {decider} denies it",
    Code.BYPASSED: "is reached from {vantage} past {decider}",
    Code.BLOCKED_ELSEWHERE: "is blocked from {vantage} by something other than the rules that were read",
    Code.REJECTED_ELSEWHERE: "is rejected from {vantage} by another than the rules that were read name",
    Code.NOTHING_LISTENS: "is let in from {vantage}, and nothing listens",
    Code.UNEXPECTED_LISTENER: "answers {vantage} where nothing was known to listen",
}
_REMEDIES = {
    Code.NOT_ENFORCED: "See that something enforces policies on the pod's node: an agent of the network plugin that "
    "runs there and reports no error (`kubeshield selftest` shows whether any does). Rule out what policies do not "
    "hold for: a pod on the host's network, the pod's own node, a source address that a node replaced.",
    Code.BYPASSED: "Read the host's rules again, for they may be others by now; then find the way past the rule: "
    "another interface or address family, another node, a program in front of the rules, an offloaded flow.",
    Code.BLOCKED_ELSEWHERE: "Find what drops it: hosts and clouds on the way whose rules were not read, routes, and "
    "the way back of the answers.",
    Code.REJECTED_ELSEWHERE: "Find the host that sends the error and read its rules.",
    Code.NOTHING_LISTENS: "Start what should listen there, or mend the Service's targetPort.",
    Code.UNEXPECTED_LISTENER: "Find out what listens there and stop it, or declare it.",
}


def title_of(code: Code, judgement: Judgement) -> str:
    """Say what is wrong, as the end of a sentence that begins with the endpoint."""
    denying = first_denying(judgement.layers)
    decider = shortened(denying.decider) if denying is not None else ""
    return _TITLES[code].format(vantage=judgement.vantage, decider=decider)


def remedy_of(code: Code, observation: Observation) -> str:
    """Say what to do."""
    said = _REMEDIES[code]
    if code is Code.REJECTED_ELSEWHERE and observation.icmp is not None and observation.icmp.source:
        said += f" It is {observation.icmp.source}."
    return said


def cause_of(code: Code, judgement: Judgement, observation: Observation) -> str:
    """What one change would put right, where that is not the endpoint: an engine, a host, whoever sends the error."""
    denying = first_denying(judgement.layers)
    if code is Code.REJECTED_ELSEWHERE and observation.icmp is not None:
        return observation.icmp.source
    return denying.domain if denying is not None and code in {Code.NOT_ENFORCED, Code.BYPASSED} else ""


def commands_of(judgement: Judgement) -> Iterator[str]:
    """Commands that show what the layer that denies rests on."""
    denying = first_denying(judgement.layers)
    for ref in denying.refs if denying is not None else ():
        kind, _, rest = ref.partition(":")
        if kind == "policy" and denying is not None and denying.layer in POLICIES:
            yield _get(*rest.rsplit("/", 3))
        elif kind == "host":
            yield f"on {rest}: nft list ruleset; iptables-save"


def _get(cluster: str, kind: str, namespace: str, name: str) -> str:
    place = f" -n {quote(namespace)}" if namespace else ""
    return f"kubectl --context {quote(cluster)}{place} get {quote(kind.lower())} {quote(name)} -o yaml"


def shortened(text: str, limit: int = 120) -> str:
    """A decider as a title names it."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
