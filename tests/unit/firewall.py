"""Rulesets for tests of the firewall's evaluation, written short and read as nft would print them."""

from __future__ import annotations

import json
from typing import Any

from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.result import Result

Rule = list[dict[str, Any]]
ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}
RETURN: dict[str, Any] = {"return": None}
CONTINUE: dict[str, Any] = {"continue": None}
NOTRACK: dict[str, Any] = {"notrack": None}
LIMIT: dict[str, Any] = {"limit": {"rate": 3, "per": "minute", "burst": 5}}
LOG: dict[str, Any] = {"log": None}
RESET: dict[str, Any] = {"reject": {"type": "tcp reset"}}
PROHIBITED: dict[str, Any] = {"reject": {"type": "icmp", "expr": "admin-prohibited"}}
SSH = "protocol=tcp,src=192.0.2.1,sport=40000,dst=198.51.100.1,dport=22,iif=eth0"
"""To the host itself, which is 198.51.100.1."""
THROUGH = "protocol=tcp,src=192.0.2.1,sport=40000,dst=203.0.113.9,dport=80,iif=eth0,oif=eth1,hook=forward"
OUT = "protocol=tcp,src=198.51.100.1,sport=40000,dst=203.0.113.9,dport=80,oif=eth1,hook=output"
HOST = json.dumps(
    {
        "addr": [
            {"ifname": "lo", "ifindex": 1, "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
            {"ifname": "eth0", "ifindex": 2, "addr_info": [{"family": "inet", "local": "198.51.100.1",
                                                           "prefixlen": 24}]},
            {"ifname": "eth1", "ifindex": 3, "addr_info": [{"family": "inet", "local": "203.0.113.1",
                                                           "prefixlen": 24}]},
        ],
        "route": [
            {"dst": "198.51.100.0/24", "dev": "eth0"},
            {"dst": "203.0.113.0/24", "dev": "eth1"},
            {"dst": "192.0.2.0/24", "gateway": "198.51.100.254", "dev": "eth0"},
        ],
        "sysctl": {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0"},
    }
)  # fmt: skip


def field(name: str) -> dict[str, Any]:
    """`tcp dport`, `ip saddr`, `meta mark`, `ct state`, `fib daddr type`."""
    first, *rest = name.split()
    if first in {"meta", "ct"}:
        return {first: {"key": " ".join(rest)}}
    if first == "fib":
        return {"fib": {"result": rest[-1], "flags": rest[:-1]}}
    return {"payload": {"protocol": first, "field": rest[0]}}


def match(name: str, right: Any, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": field(name), "right": right}}


def state(*states: str) -> dict[str, Any]:
    return match("ct state", list(states), "in")


def jump(target: str) -> dict[str, Any]:
    return {"jump": {"target": target}}


def goto(target: str) -> dict[str, Any]:
    return {"goto": {"target": target}}


def mark(value: Any) -> dict[str, Any]:
    return {"mangle": {"key": field("meta mark"), "value": value}}


def dnat(address: str, port: int | None = None, **more: Any) -> dict[str, Any]:
    return {"dnat": {"addr": address, **({} if port is None else {"port": port}), **more}}


def vmap(name: str, *pairs: Any) -> dict[str, Any]:
    return {"vmap": {"key": field(name), "data": {"set": [list(pair) for pair in pairs]}}}


class Rules:
    """Collects tables, chains and rules in the order in which nft lists them."""

    def __init__(self, family: str = "ip", table: str = "t") -> None:
        self.objects: list[dict[str, Any]] = []
        self.handle = 0
        self.table(family, table)

    def table(self, family: str, name: str) -> Rules:
        self.family, self.name = family, name
        self.objects.append({"table": {"family": family, "name": name, "handle": 1}})
        return self

    def base(
        self, hook: str, *rules: Rule, policy: str = "accept", priority: int = 0, kind: str = "filter", name: str = ""
    ) -> Rules:
        more = {"type": kind, "hook": hook, "prio": priority, "policy": policy}
        return self._chain(name or f"{kind}-{hook}-{priority}", rules, more)

    def chain(self, name: str, *rules: Rule) -> Rules:
        return self._chain(name, rules, {})

    def _chain(self, name: str, rules: tuple[Rule, ...], more: dict[str, Any]) -> Rules:
        place = {"family": self.family, "table": self.name}
        self.objects.append({"chain": {**place, "name": name, **more}})
        for rule in rules:
            self.handle += 1
            self.objects.append({"rule": {**place, "chain": name, "handle": self.handle, "expr": rule}})
        return self

    def set(self, name: str, kind: Any, elements: list[Any], **more: Any) -> Rules:
        what = "map" if "map" in more else "set"
        place = {"family": self.family, "table": self.name}
        self.objects.append({what: {**place, "name": name, "type": kind, "elem": elements, **more}})
        return self

    @property
    def text(self) -> str:
        return json.dumps({"nftables": self.objects})

    def judge(self, packet: str, host: str | None = None, **more: Any) -> Result:
        parsed = None if host is None else parse_host(host)
        return Firewall(parse_nft(self.text), parsed).judge(parse_packet(packet), **more)

    def verdict(self, packet: str, host: str | None = None, **more: Any) -> str:
        """`accept`, `drop syn-ack`, `reject tcp-reset syn`; several joined where more can happen."""
        outcomes = self.judge(packet, host, **more).outcomes
        said = [
            outcome.verdict
            if outcome.verdict == "accept"
            else " ".join(filter(None, (outcome.verdict, outcome.answer, outcome.leg)))
            for outcome in outcomes
        ]
        return " | ".join(sorted(set(said)))


def effects(result: Result, leg: str = "syn") -> list[str]:
    """What happened to a packet, step by step."""
    return [step.effect for step in result.outcomes[0].trace if step.leg == leg]
