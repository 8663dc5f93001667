"""Read what `nft -j list ruleset` prints. Never raises: what is not understood is unknown, with its text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kubeshield_tui.evidence.netfilter import nft_values
from kubeshield_tui.evidence.netfilter.elements import Elements
from kubeshield_tui.evidence.netfilter.nft_statements import read_statements
from kubeshield_tui.evidence.netfilter.nft_text import expression_text, rule_text
from kubeshield_tui.evidence.netfilter.ruleset import Chain, Doubt, NamedSet, Opaque, Rule, Ruleset, Table, Unsure
from kubeshield_tui.model.text import printable

WRONG_SHAPE = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError)
OBJECTS = frozenset(
    {
        "metainfo",
        "counter",
        "quota",
        "limit",
        "flowtable",
        "secmark",
        "synproxy",
        "ct helper",
        "ct timeout",
        "ct expectation",
    }
)
"""What a ruleset declares beside tables, chains, sets and rules; rules that use one say so."""
SHOWN = 200
"""Characters shown of what was not understood."""
BEGINNING = re.compile(r'\{\s*"nftables"\s*:\s*\[')
UNSEEN_ELSEWHERE = ("nft does not show rules of iptables-legacy: collect iptables-legacy-save to see them",)


def looks_like_nft(text: str) -> bool:
    """Whether a text is, or begins as, nft's JSON."""
    return BEGINNING.search(text) is not None


def parse_nft(text: str) -> Ruleset:
    """Read a ruleset. What is cut off, or not JSON, is a doubt about the whole."""
    reading = _Reading()
    objects, cut = _objects(text)
    for each in objects:
        reading.take(each)
    if cut:
        reading.doubts.append(Unsure(kind=Doubt.MISSING, text=cut))
    return reading.ruleset()


def _objects(text: str) -> tuple[list[Any], str]:
    """Return the objects of a dump, and what is wrong with it; words before and after it are a pasted terminal's."""
    found = BEGINNING.search(text)
    if found is None:
        return [], "the text is not nft's JSON"
    decoder = json.JSONDecoder()
    try:
        told, _ = decoder.raw_decode(text, found.start())
        return told["nftables"], ""
    except (ValueError, RecursionError):
        pass
    objects: list[Any] = []
    at = found.end()
    while True:
        while at < len(text) and (text[at].isspace() or text[at] == ","):
            at += 1
        try:
            told, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            line = text[:at].count("\n") + 1
            rest = printable(text[at : at + 60].strip()) or "the end of the text"
            return objects, f"the ruleset is cut off or broken at line {line}: {rest}"
        objects.append(told)


class _Reading:
    """Collects tables, chains, sets and rules of a dump."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], dict[str, Any]] = {}
        self.chains: dict[tuple[str, str, str], tuple[dict[str, Any], list[Rule]]] = {}
        self.sets: dict[tuple[str, str], dict[str, NamedSet]] = {}
        self.doubts: list[Unsure] = []
        self.notes: list[str] = []

    def take(self, told: Any) -> None:
        try:
            kind, body = next(iter(told.items()))
            if kind == "rule":
                self._rule(body)
            elif kind == "chain":
                place = self._table(body)
                self.chains.setdefault((*place, printable(body["name"])), (body, []))
            elif kind in {"set", "map"}:
                self.sets.setdefault(self._table(body), {})[printable(body["name"])] = _named_set(body)
            elif kind == "table":
                self.tables[printable(body["family"]), printable(body["name"])] = body
            elif kind not in OBJECTS:
                self.notes.append(f"not understood: {printable(expression_text(told), SHOWN)}")
        except (*WRONG_SHAPE, StopIteration):
            shown = printable(json.dumps(told, ensure_ascii=False, default=str), SHOWN)
            self.doubts.append(Unsure(kind=Doubt.MISSING, text=f"not understood: {shown}"))

    def _table(self, body: Mapping[str, Any]) -> tuple[str, str]:
        place = (printable(body["family"]), printable(body["table"]))
        self.tables.setdefault(place, {})
        return place

    def _rule(self, body: Mapping[str, Any]) -> None:
        family, table, name = body["family"], body["table"], body["chain"]
        found = self.chains.get((family, table, name))
        if found is None:
            place = (*self._table(body), printable(name))
            found = self.chains.setdefault(place, ({"name": name}, []))
        rules = found[1]
        told = body.get("expr") or []
        try:
            statements, counter = read_statements(told, family)
        except WRONG_SHAPE:
            statements, counter = (Opaque(kind=Doubt.MODULE, text=rule_text(told)),), None
        handle = body.get("handle")
        rules.append(
            Rule(
                index=len(rules),
                statements=statements,
                handle=handle if isinstance(handle, int) else None,
                counter=counter,
                comment=printable(body["comment"]) if "comment" in body else "",
                source=told,
                render=rule_text,
            )
        )

    def ruleset(self) -> Ruleset:
        tables = []
        for (family, name), body in self.tables.items():
            chains = {
                own: _chain(own, told, rules, dormant="dormant" in (body.get("flags") or ()))
                for (chain_family, table, own), (told, rules) in self.chains.items()
                if (chain_family, table) == (family, name)
            }
            tables.append(Table(family=family, name=name, chains=chains, sets=self.sets.get((family, name), {})))
        return Ruleset(
            tables=tuple(tables),
            families=frozenset({"ip", "ip6"}),
            doubts=tuple(self.doubts),
            notes=(*self.notes, *UNSEEN_ELSEWHERE),
        )


def _chain(name: str, told: Mapping[str, Any], rules: list[Rule], *, dormant: bool) -> Chain:
    priority = told.get("prio")
    devices = told.get("dev") or ()
    return Chain(
        name=name,
        rules=tuple(rules),
        type=printable(told.get("type", "")),
        hook="" if dormant else printable(told.get("hook", "")),
        priority=priority if isinstance(priority, int) else 0,
        policy=printable(told.get("policy", "accept")),
        devices=tuple(printable(each) for each in ([devices] if isinstance(devices, str) else devices)),
    )


def _named_set(body: Mapping[str, Any]) -> NamedSet:
    kind = nft_values.split_type(body.get("type", ""))
    told = body.get("elem") or []
    data = body.get("map")
    held: Elements[Any]
    if data is None:
        held = nft_values.elements(told, kind)
    elif data == "verdict":
        held = nft_values.verdicts(told, kind)
    else:
        held = nft_values.mapping(told, kind, nft_values.split_type(data))
    flags = body.get("flags") or ()
    return NamedSet(name=printable(body["name"]), elements=held, dynamic="timeout" in flags or "dynamic" in flags)
