"""Answers as JSON values and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from kubeshield_tui.evidence.netpol.connectivity import Connection, PortRanges
from kubeshield_tui.evidence.netpol.verdict import DirectionVerdict, PathVerdict, PolicyEffect, Verdict

PATHS_SHOWN = 20
"""Paths of one answer that text spells out: a Service may have a thousand backends."""
_INDENT = "      "


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """An answer as JSON values; `backends` stands there for a question that may take more than one path."""
    document: dict[str, Any] = {
        "verdict": verdict.verdict.value,
        "directions": [_direction(direction) for direction in verdict.directions],
        "assumptions": [reason.text for reason in verdict.assumptions],
    }
    if len(verdict.paths) > 1:
        document["backends"] = [_backend(path) for path in verdict.paths]
    return document


def _backend(path: PathVerdict) -> dict[str, Any]:
    return {
        "from": path.source,
        "to": path.destination,
        "protocol": path.protocol,
        "port": path.port,
        "verdict": path.verdict.value,
        "directions": [_direction(path.egress), _direction(path.ingress)],
    }


def _direction(direction: DirectionVerdict) -> dict[str, Any]:
    return {
        "direction": direction.direction.value,
        "verdict": direction.verdict.value,
        "isolated": direction.isolated,
        "policies": [_policy(effect) for effect in direction.policies],
    }


def _policy(effect: PolicyEffect) -> dict[str, Any]:
    return {
        "kind": effect.key.kind,
        "namespace": effect.key.namespace,
        "name": effect.key.name,
        "rule": effect.rule,
        "effect": effect.effect.value,
        "near_miss": effect.near_miss or None,
        "file": effect.where.file or None,
        "line": effect.where.line or None,
    }


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """An answer as text, one line a decision."""
    question = verdict.question
    port = f":{question.port}" if question.port else ""
    arrow = f"{question.source.text} -> {question.destination.text}{port}/{question.protocol.lower()}"
    yield f"{arrow}   {verdict.verdict.upper()}"
    for path in verdict.paths[:PATHS_SHOWN]:
        if len(verdict.paths) > 1:
            yield ""
            yield f"  by {path.source} -> {path.destination}:{path.port}   {path.verdict.upper()}"
        for direction in (path.egress, path.ingress):
            yield from _direction_lines(direction)
    rest = Counter(path.verdict for path in verdict.paths[PATHS_SHOWN:])
    if rest:
        yield ""
        yield f"  and {rest.total()} more paths: {', '.join(f'{count} {name}' for name, count in sorted(rest.items()))}"
    if verdict.assumptions:
        yield ""
        yield "  hangs on" if verdict.verdict == "unknown" else "  taken into account"
        yield from (f"    {reason.text}" for reason in verdict.assumptions)


def _direction_lines(direction: DirectionVerdict) -> Iterator[str]:
    head = f"{direction.direction:<8}{direction.subject}"
    yield f"  {head:<40}  {direction.verdict.upper():<8} {direction.because}"
    for effect in direction.policies:
        rule = f" {effect.rule_text}" if effect.rule_text else ""
        where = f"  ({effect.where.text})" if effect.where.text else ""
        mark = "  <- decides" if effect.decides else ""
        yield f"{_INDENT}{effect.key.text}{rule}  {effect.effect}{where}{mark}"
        if effect.why:
            yield f"{_INDENT}  {effect.why}"


def connection_document(connection: Connection) -> dict[str, Any]:
    """One pair as JSON values; `unknown` stands there only where something is."""
    document: dict[str, Any] = {
        "from": connection.source,
        "to": connection.destination,
        "connections": [_ports(ports) for ports in connection.allowed],
    }
    if connection.unknown:
        document["unknown"] = [_ports(ports) for ports in connection.unknown]
    return document


def _ports(ports: PortRanges) -> dict[str, Any]:
    ranges: Any = "all" if ports.is_all else [list(pair) for pair in ports.ranges]
    return {"protocol": ports.protocol, "ports": ranges}


def connection_line(connection: Connection) -> str:
    """One pair as text."""
    parts = [f"{_ports_text(ports)}" for ports in connection.allowed]
    parts += [f"{_ports_text(ports)} unknown" for ports in connection.unknown]
    if [ports.protocol for ports in connection.allowed if ports.is_all] == ["TCP", "UDP", "SCTP"]:
        parts = ["all"]
    return f"{connection.source} -> {connection.destination}: {', '.join(parts)}"


def _ports_text(ports: PortRanges) -> str:
    if ports.is_all:
        return ports.protocol
    ranges = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ports.ranges)
    return f"{ports.protocol} {ranges}"
