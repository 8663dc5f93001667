"""A host's rules without those that a policy engine keeps there: the policies over again, no layer beside them.

Names are those that the projects give their tables and chains (Calico, kube-router, Weave, kube-network-policies).
Only what filters is left out: translations and routes stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.netfilter.result import Decider
from kubeshield_tui.model.evidence import Source

KUBE_PROXY = "kube-proxy"
"""Its table of nftables."""
NOTHING_BEHIND = re.compile(r"has no (?:local )?endpoints")
"""Its comment on a rule of iptables that refuses what comes to a Service without endpoints."""
VACANT = frozenset({"reject-chain", "service-endpoints-check", "nodeport-endpoints-check", "cluster-ips-check"})
"""Its chains that do so in nftables; the last for ports that no Service has. Source: Kubernetes 1.36,
pkg/proxy/nftables/proxier.go.
"""
TABLE = re.compile(r"netpol|network-?polic", re.IGNORECASE)
CHAIN = re.compile(r"cali-|KUBE-(?:NWPLCY|POD-FW|ROUTER)|WEAVE-NPC", re.IGNORECASE)
FILTERING = frozenset({"filter"})
REMEMBERED_AS = "without an engine's rules"
_ITEMS = ("iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy")
_WORDS = re.compile(r"(?::|-[AI] |-[jg] )(\S+)")


def without_engine(gathered: Gathered) -> Gathered:
    """Return a reading without an engine's rules; the same one where it has none. Remembered with the reading."""
    known = gathered.answers.get(REMEMBERED_AS)
    if not isinstance(known, Gathered):
        known = gathered.answers[REMEMBERED_AS] = _without_engine(gathered)
    return known


def is_vacancy(rule: Decider) -> bool:
    """Whether a rule refuses only because a Service has no endpoints: the first that is ready takes it away."""
    if rule.table == KUBE_PROXY and rule.chain in VACANT:
        return True
    return (rule.chain or "").startswith("KUBE-") and NOTHING_BEHIND.search(rule.text) is not None


def _without_engine(gathered: Gathered) -> Gathered:
    kept = [_stripped(source) for source in gathered.sources.values()]
    changed = any(new is not old for new, old in zip(kept, gathered.sources.values(), strict=True))
    return Gathered(kept) if changed else gathered


def _stripped(source: Source) -> Source:
    text = source.text
    if source.item == "nft" and (TABLE.search(text) or CHAIN.search(text)):
        text = _without_nft(text)
    elif source.item in _ITEMS and CHAIN.search(text):
        text = "".join(_without_chains(text.splitlines(keepends=True)))
    return source if text == source.text else replace(source, text=text)


def _without_chains(lines: list[str]) -> Iterator[str]:
    table = ""
    for line in lines:
        if line.startswith("*"):
            table = line[1:].strip()
        if table not in FILTERING or not any(CHAIN.match(name) for name in _WORDS.findall(line)):
            yield line


def _without_nft(text: str) -> str:
    try:
        told = json.loads(text)
        listed = told["nftables"]
        kept = [item for item in listed if not _is_engines(item)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return text
    return text if len(kept) == len(listed) else json.dumps({**told, "nftables": kept})


def _is_engines(item: dict[str, Any]) -> bool:
    """Whether an object of nft's listing is of an engine's table, or a chain of an engine, or leads to one."""
    (kind, body), *_ = item.items()
    if not isinstance(body, dict):
        return False
    table = str(body.get("name" if kind == "table" else "table") or "")
    if TABLE.search(table):
        return True
    if table not in FILTERING:
        return False
    if kind == "chain":
        return bool(CHAIN.match(str(body.get("name"))))
    if kind != "rule":
        return False
    targets = [str(verdict.get("target")) for verdict in _verdicts(body.get("expr"))]
    return any(CHAIN.match(name) for name in (str(body.get("chain")), *targets))


def _verdicts(expressions: object) -> Iterator[dict[str, Any]]:
    for expression in expressions if isinstance(expressions, list) else ():
        for name in ("jump", "goto"):
            verdict = expression.get(name) if isinstance(expression, dict) else None
            if isinstance(verdict, dict):
                yield verdict
