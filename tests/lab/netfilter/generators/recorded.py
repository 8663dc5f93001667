"""What was recorded of a generator: the dumps of the host, who listened, and what the kernel did with each packet.

A folder each: nft.json, iptables-save, ip6tables-save, ipset-save and host as the tools print them, and seen.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from kubeshield_tui.evidence.netfilter.dumps import read_rulesets
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.packet import Packet
from tests.lab.netfilter.cases import Case
from tests.lab.netfilter.generators.judging import Listening
from tests.lab.netfilter.record import PREFIX
from tests.lab.netfilter.world import World

FOLDER = Path(__file__).parents[3] / "unit" / "rulesets"
HOST, SEEN = "host", "seen.jsonl"
RULES = {
    "nft.json": ("nft", "-j", "list", "ruleset"),
    "iptables-save": ("iptables-save", "-c"),
    "ip6tables-save": ("ip6tables-save", "-c"),
    "ipset-save": ("ipset", "save"),
}
PER_KIND = 2
"""Packets kept of those that are alike in sender, protocol, rules and what came of them."""


def collect(world: World) -> dict[str, str]:
    """Return what the tools print on the router, by the name of a file; nothing for what prints nothing."""
    told = {name: world.network.on("router", *command) for name, command in RULES.items()}
    told[HOST] = world.tell_host()
    return {name: text for name, text in told.items() if text.strip()}


def firewall(told: Mapping[str, str]) -> Firewall:
    """Read dumps as the command line does."""
    ruleset = read_rulesets((name, text) for name, text in told.items() if name in RULES)
    host = parse_host(told[HOST])
    assert host.notes == (), host.notes
    return Firewall(ruleset, host)


def write(name: str, world: World, told: Mapping[str, str], cases: Sequence[Case], there: Listening) -> None:
    """Write a folder: all dumps, and those packets that differ from one another."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    judge = firewall(told)
    prefix = world.network.prefix
    for file, text in told.items():
        (folder / file).write_text(_lines(text).replace(prefix, PREFIX), "utf-8")
    lines: list[object] = [{"listening": sorted(there)}]
    count: dict[str, int] = {}
    for case in cases:
        packet = case.packet
        said = [(outcome.verdict, outcome.decider) for outcome in judge.judge(packet).outcomes]
        deciders = [[verdict, decider.chain, decider.index] for verdict, decider in said]
        alike = json.dumps([case.where, packet.family, packet.protocol, deciders, case.error, case.answered])
        count[alike] = count.get(alike, 0) + 1
        if count[alike] <= PER_KIND:
            asked = {key: value for key, value in msgspec.to_builtins(packet).items() if value not in (None, "", 0)}
            lines.append([asked, case.got_through, case.answered, case.error, case.ends])
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (folder / SEEN).write_text(text.replace(prefix, PREFIX), "utf-8")


def read(folder: Path) -> tuple[dict[str, str], list[Case], Listening]:
    """Return the dumps by file name, the packets with what came of each, and who listened."""
    told = {each.name: each.read_text("utf-8") for each in folder.iterdir() if each.name != SEEN}
    first, *lines = map(json.loads, (folder / SEEN).read_text("utf-8").splitlines())
    cases = []
    for number, (asked, through, answered, error, ends) in enumerate(lines):
        case = Case(number=number, where="", packet=msgspec.convert(asked, Packet), port=asked.get("sport", 0))
        case.got_through, case.answered = through, answered
        case.error, case.ends = tuple(error) if error else None, tuple(ends) if ends else None
        cases.append(case)
    return told, cases, frozenset((*each,) for each in first["listening"])


def _lines(text: str) -> str:
    """One object a line, where a whole ruleset stands on one."""
    if not text.startswith('{"nftables"'):
        return text
    objects = [each for each in json.loads(text)["nftables"] if "metainfo" not in each]
    return '{"nftables": [\n' + ",\n".join(map(json.dumps, objects)) + "\n]}\n"
