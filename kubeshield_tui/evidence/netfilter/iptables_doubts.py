"""Matches of iptables that ask more than the packet tells: what kind of doubt each is, and what it most likely says.

Meanings: iptables-extensions(8).
"""

from __future__ import annotations

from collections.abc import Iterator

from kubeshield_tui.evidence.netfilter.iptables_options import Module
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Unsure


def doubtful(module: Module, kind: Doubt, likely: dict[str, bool | None]) -> Iterator[Unsure]:
    """One thing that can't be known a module, so that a rule forks once; options that hold always say nothing."""
    names = {option.name for option in module.options}
    if module.name == "recent" and "--set" in names:
        return
    guess = next((likely[name] for name in likely if name in names), likely.get(""))
    if guess is not None and any(option.negated and option.name in likely for option in module.options):
        guess = not guess
    yield Unsure(kind=kind, text=module.text, likely=guess)


DOUBTFUL: dict[str, tuple[Doubt, dict[str, bool | None]]] = {
    "limit": (Doubt.RATE, {"": True}),
    "hashlimit": (Doubt.RATE, {"--hashlimit-above": False, "": True}),
    "connlimit": (Doubt.RATE, {"--connlimit-upto": True, "": False}),
    "recent": (Doubt.RATE, {"": False}),
    "quota": (Doubt.RATE, {"": True}),
    "connbytes": (Doubt.RATE, {}),
    "rateest": (Doubt.RATE, {}),
    "statistic": (Doubt.RANDOM, {}),
    "random": (Doubt.RANDOM, {}),
    "nth": (Doubt.RANDOM, {}),
    "cluster": (Doubt.RANDOM, {}),
    "cpu": (Doubt.RANDOM, {}),
    "time": (Doubt.TIME, {}),
    "string": (Doubt.PAYLOAD, {"": False}),
    "u32": (Doubt.PAYLOAD, {}),
    "bpf": (Doubt.PAYLOAD, {}),
    "length": (Doubt.PAYLOAD, {}),
    "tcpmss": (Doubt.PAYLOAD, {}),
    "ecn": (Doubt.PAYLOAD, {}),
    "osf": (Doubt.PAYLOAD, {}),
    "helper": (Doubt.PAYLOAD, {"": False}),
    "esp": (Doubt.PAYLOAD, {}),
    "ah": (Doubt.PAYLOAD, {}),
    "ipv6header": (Doubt.PAYLOAD, {}),
    "owner": (Doubt.LOCAL, {}),
    "cgroup": (Doubt.LOCAL, {}),
    "socket": (Doubt.LOCAL, {}),
    "mac": (Doubt.LINK, {}),
    "physdev": (Doubt.LINK, {"--physdev-is-bridged": False}),
    "pkttype": (Doubt.LINK, {}),
    "devgroup": (Doubt.LINK, {}),
    "policy": (Doubt.LINK, {"--pol": None}),
    "realm": (Doubt.ROUTING, {}),
    "geoip": (Doubt.SET, {}),
}
