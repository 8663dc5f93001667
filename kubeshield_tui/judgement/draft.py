"""A NetworkPolicy that is proposed: its object, its text for people and kubectl, and how evaluators see it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from kubeshield_tui.evidence.netpol.parse import parse_policy
from kubeshield_tui.evidence.netpol.policy import Direction, ObjectKey, Policy, Where
from kubeshield_tui.model.record import Record

API_VERSION = "networking.k8s.io/v1"
KIND = "NetworkPolicy"
MANAGED_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "kubeshield"
PEERS = {Direction.EGRESS: "to", Direction.INGRESS: "from"}
TYPES = {Direction.EGRESS: "Egress", Direction.INGRESS: "Ingress"}
WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9./_-]*|[0-9]+(\.[0-9]+){3}/[0-9]+")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML takes for something else than text."""

Raw = dict[str, Any]


class Part(Record, frozen=True):
    """One rule of a draft, and what it is there for."""

    says: str
    peers: tuple[Raw, ...] = ()
    """Empty: everybody."""
    ports: tuple[Raw, ...] = ()
    """Empty: every port."""
    names: tuple[tuple[str, str], ...] = ()
    """What values in it stand for, said beside them in the text."""

    def rule(self, direction: Direction) -> Raw:
        """As the object holds it."""
        peers = {PEERS[direction]: list(self.peers)} if self.peers else {}
        return peers | ({"ports": list(self.ports)} if self.ports else {})


class Draft(Record, frozen=True):
    """A NetworkPolicy of ours. The same cause in the same cluster always gives the same one."""

    namespace: str
    name: str
    direction: Direction
    subject: Raw
    """podSelector."""
    parts: tuple[Part, ...]
    says: tuple[str, ...]
    """What it does, a sentence each."""

    @property
    def key(self) -> ObjectKey:
        """Its identity in the cluster."""
        return ObjectKey(kind=KIND, namespace=self.namespace, name=self.name)

    @property
    def body(self) -> Raw:
        """The object."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {MANAGED_LABEL: MANAGER}},
            "spec": {
                "podSelector": self.subject,
                "policyTypes": [TYPES[self.direction]],
                self.direction.value: [part.rule(self.direction) for part in self.parts],
            },
        }

    @property
    def policy(self) -> Policy:
        """As evaluators see it."""
        found = parse_policy(self.body, Where(file="the remedy"))
        assert isinstance(found, Policy), found.why
        return found

    @property
    def text(self) -> str:
        """The manifest with comments, as `kubectl apply -f` takes it."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        for sentence in self.says:
            yield from _comment(sentence)
        body = self.body
        spec = body.pop("spec")
        yield from _fields(body)
        yield "spec:"
        rules = spec.pop(self.direction.value)
        yield from _fields(spec, "  ")
        if not rules:
            yield f"  {self.direction}: []"
            return
        yield f"  {self.direction}:"
        for part, rule in zip(self.parts, rules, strict=True):
            yield from _comment(part.says, "    ")
            names = dict(part.names)
            for line in _item(rule, "    "):
                said = names.get(line.strip().removeprefix("- ").strip('"'))
                yield f"{line}  # {said}" if said else line


def _comment(sentence: str, indent: str = "") -> list[str]:
    return [f"{indent}# {line}" for line in wrap(sentence, WIDTH - len(indent) - 2, break_on_hyphens=False)]


def _fields(body: Raw, indent: str = "") -> Iterator[str]:
    for key, value in body.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _fields(value, f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield f"{indent}{_scalar(key)}:"
            for item in value:
                yield from _item(item, f"{indent}  ")
        elif isinstance(value, list) and key == "except":
            yield f"{indent}{_scalar(key)}:"
            yield from (f"{indent}  - {_scalar(item)}" for item in value)
        elif isinstance(value, list):
            yield f"{indent}{_scalar(key)}: [{', '.join(_scalar(item) for item in value)}]"
        else:
            yield f"{indent}{_scalar(key)}: {_scalar(value)}"


def _item(item: Raw, indent: str) -> Iterator[str]:
    first, *others = _fields(item, f"{indent}  ") if item else ("{}",)
    yield f"{indent}- {first.strip()}"
    yield from others


def _scalar(value: object) -> str:
    """Text that YAML could take for a number, a word of its own or syntax stands in quotes, which are JSON's."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
