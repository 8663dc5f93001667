"""Dumps of large clusters, made up after what kube-proxy writes: many services with their endpoints and node ports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

RULES_A_SERVICE = 5
IPTABLES_RULES_A_SERVICE = 11
TABLE = {"family": "ip", "table": "kube-proxy"}
Expression = dict[str, Any]


def payload(protocol: str, field: str) -> Expression:
    return {"payload": {"protocol": protocol, "field": field}}


def match(left: Expression, right: Any, operator: str = "==") -> Expression:
    return {"match": {"op": operator, "left": left, "right": right}}


KEY = {"concat": [payload("ip", "daddr"), {"meta": {"key": "l4proto"}}, payload("th", "dport")]}
NEW = match({"ct": {"key": "state"}}, "new", "in")
MARK = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 16384]}}}
BASES = (
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110, ("jump", "firewall-check")),
    ("filter-input", "filter", "input", 0, ("jump", "service-endpoints-check")),
    ("filter-forward", "filter", "forward", 0, ("jump", "service-endpoints-check")),
    ("nat-prerouting", "nat", "prerouting", -100, ("jump", "services")),
    ("nat-postrouting", "nat", "postrouting", 100, ("jump", "masquerading")),
)


def address(service: int) -> str:
    return f"10.96.{service // 250}.{service % 250 + 1}"


def backend(service: int, number: int) -> str:
    return f"10.244.{service % 250}.{number + 2}"


def nftables(services: int) -> str:
    """Return what nft prints on a node of a cluster with so many services of three endpoints each."""
    return json.dumps({"nftables": list(_objects(services))})


def _objects(services: int) -> Iterator[dict[str, Any]]:
    yield {"metainfo": {"version": "1.0.6", "json_schema_version": 1}}
    yield {"table": {"family": "ip", "name": "kube-proxy", "handle": 1}}
    names = [f"{service:08X}-shop/web-{service}/tcp/http" for service in range(services)]
    types = ["ipv4_addr", "inet_proto", "inet_service"]
    goto = [
        [{"concat": [address(service), "tcp", 80]}, {"goto": {"target": f"service-{name}"}}]
        for service, name in enumerate(names)
    ]
    ports = [
        [{"concat": ["tcp", 30000 + service]}, {"goto": {"target": f"external-{name}"}}]
        for service, name in enumerate(names[:2767])
    ]
    yield {"set": {**TABLE, "name": "cluster-ips", "type": "ipv4_addr", "elem": list(map(address, range(services)))}}
    for name, kind, elements in (
        ("no-endpoint-services", types, []),
        ("firewall-ips", types, []),
        ("service-ips", types, goto),
        ("service-nodeports", types[1:], ports),
    ):
        yield {"map": {**TABLE, "name": name, "type": kind, "map": "verdict", "elem": elements}}
    for name, kind, hook, priority, _ in BASES:
        yield {"chain": {**TABLE, "name": name, "type": kind, "hook": hook, "prio": priority, "policy": "accept"}}
    inner = ("service-endpoints-check", "firewall-check", "services", "masquerading", "cluster-ips-check")
    for name in (*inner, *(f"{kind}-{name}" for name in names for kind in ("service", "external"))):
        yield {"chain": {**TABLE, "name": name}}
    yield from _rules(names)


def _rules(names: list[str]) -> Iterator[dict[str, Any]]:
    handle = 10

    def rule(chain: str, *expressions: Expression, **more: Any) -> dict[str, Any]:
        nonlocal handle
        handle += 1
        return {"rule": {**TABLE, "chain": chain, "handle": handle, **more, "expr": list(expressions)}}

    for name, kind, _, _, (verb, target) in BASES:
        yield rule(name, *([NEW] if kind == "filter" else []), {verb: {"target": target}})
    yield rule("service-endpoints-check", {"vmap": {"key": KEY, "data": "@no-endpoint-services"}})
    yield rule("firewall-check", {"vmap": {"key": KEY, "data": "@firewall-ips"}})
    outside = match(payload("ip", "saddr"), {"prefix": {"addr": "10.244.0.0", "len": 16}}, "!=")
    yield rule("services", match(payload("ip", "daddr"), "@cluster-ips"), outside, MARK)
    yield rule("services", {"vmap": {"key": KEY, "data": "@service-ips"}})
    ports = {"concat": KEY["concat"][1:]}
    yield rule("services", {"vmap": {"key": ports, "data": "@service-nodeports"}})
    marked = match({"&": [{"meta": {"key": "mark"}}, 16384]}, 0, "!=")
    yield rule("masquerading", marked, {"masquerade": {"flags": "fully-random"}})
    tcp = match({"meta": {"key": "l4proto"}}, "tcp")
    for service, name in enumerate(names):
        choice = [[number, {"concat": [backend(service, number), 8080]}] for number in range(3)]
        drawn = {"numgen": {"mode": "random", "mod": 3, "offset": 0}}
        yield rule(f"service-{name}", {"counter": {"packets": service, "bytes": 60 * service}}, comment="counted")
        yield rule(
            f"service-{name}", tcp, {"dnat": {"family": "ip", "addr": {"map": {"key": drawn, "data": {"set": choice}}}}}
        )
        local = match({"fib": {"result": "type", "flags": ["saddr"]}}, "local")
        yield rule(f"external-{name}", local, {"goto": {"target": f"service-{name}"}}, comment="short-circuit")
        yield rule(f"external-{name}", MARK, comment="masquerade")
        yield rule(f"external-{name}", {"goto": {"target": f"service-{name}"}})


def iptables(services: int) -> str:
    """Return what iptables-save prints on such a node where kube-proxy runs in iptables mode."""
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":KUBE-FORWARD - [0:0]"]
    lines.append('-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD')
    lines.append("-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid -j DROP")
    lines += ["COMMIT", "*nat", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"]
    lines += [":KUBE-SERVICES - [0:0]", ":KUBE-MARK-MASQ - [0:0]", ":KUBE-POSTROUTING - [0:0]"]
    entries, chains = [], []
    for service in range(services):
        name, own = f"shop/web-{service}:http", f"KUBE-SVC-{service:016X}"
        comment = f'-m comment --comment "{name} cluster IP" -m tcp --dport 80'
        entries.append(f"-A KUBE-SERVICES -d {address(service)}/32 -p tcp {comment} -j {own}")
        lines.append(f":{own} - [0:0]")
        chains.append(f"-A {own} ! -s 10.244.0.0/16 -d {address(service)}/32 -p tcp {comment} -j KUBE-MARK-MASQ")
        for number in range(3):
            share = "" if number == 2 else f"-m statistic --mode random --probability {1 / (3 - number):.11f} "
            there, to = f"KUBE-SEP-{service:015X}{number}", backend(service, number)
            lines.append(f":{there} - [0:0]")
            chains.append(f'-A {own} -m comment --comment "{name} -> {to}:8080" {share}-j {there}')
            chains.append(f'-A {there} -s {to}/32 -m comment --comment "{name}" -j KUBE-MARK-MASQ')
            chains.append(f'-A {there} -p tcp -m comment --comment "{name}" -m tcp -j DNAT --to-destination {to}:8080')
    lines += ["-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES", "-A POSTROUTING -j KUBE-POSTROUTING"]
    lines += ["-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000"]
    lines += ["-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN"]
    lines += ["-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0", "-A KUBE-POSTROUTING -j MASQUERADE --random-fully"]
    return "\n".join(
        ["# Generated by iptables-save v1.8.9 (nf_tables) on Tue", *lines, *entries, *chains, "COMMIT", ""]
    )
