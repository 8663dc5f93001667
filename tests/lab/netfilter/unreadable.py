"""Never a guess: what makes part of a dump unreadable may add outcomes, and must take none away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from kubeshield_tui.evidence.netfilter import iptables
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.result import Outcome, Result
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from tests.lab.netfilter.generators.recorded import HOST
from tests.lab.netfilter.mess import PROMPTS
from tests.lab.netfilter.victims import ASKED, NAMES, recorded

ASKED_OF_EACH = 4
UNKNOWN: Any = {"match": {"op": "==", "left": {"frobnicate": {"key": "x"}}, "right": 1}}


def never_a_guess(random: Random) -> str:
    """Make one place of a recorded dump unreadable; returns what was hidden by it, empty where nothing was."""
    name = random.choice(NAMES)
    told = recorded(name)
    file = random.choice([each for each in ("nft.json", "iptables-save", "ip6tables-save") if each in told])
    text = told[file]
    spoiled = (_nft if file == "nft.json" else _iptables)(random, text)
    read = parse_nft if file == "nft.json" else _read_iptables
    host = parse_host(told[HOST])
    before, after = Firewall(read(text), host), Firewall(read(spoiled), host)
    for packet in random.sample(ASKED, ASKED_OF_EACH):
        was, now = before.judge(packet), after.judge(packet)
        hidden = [outcome for outcome in was.outcomes if not _is_told(outcome, now)]
        if hidden:
            return f"{name} {file}: {packet}\nhidden: {hidden[0]}\nnow: {now.outcomes}"
    return ""


def _read_iptables(text: str) -> Ruleset:
    return merge(None, [iptables.parse(text)])


def _is_told(outcome: Outcome, now: Result) -> bool:
    """Whether an outcome is among those told now; one that says less of how and when stands for it."""
    return any(
        each.verdict == outcome.verdict
        and (each.answer in {None, outcome.answer})
        and (each.leg == outcome.leg or each.assumptions)
        for each in now.outcomes
    )


def _iptables(random: Random, text: str) -> str:
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if "-A " in line]
    at = random.choice(rules)
    lines[at] = random.choice(LINES)(lines[at])
    if random.random() < 0.2:
        lines.insert(random.randrange(len(lines)), random.choice(PROMPTS))
    if random.random() < 0.2:
        lines = lines[: random.choice(rules) + 1]
    return "\n".join(lines)


LINES: tuple[Callable[[str], str], ...] = (
    lambda line: re.sub(r" -[jg] ", r" -m frobnicate --frob 3\g<0>", line, count=1),
    lambda line: re.sub(r" -[jg] \S+.*", " -j FROBNICATE --how", line),
    lambda line: f"{line} --frobnicate 7",
    lambda line: re.sub(r"\d+\.\d+\.\d+\.\d+(/\d+)?|[0-9a-f]+:[0-9a-f:]+(/\d+)?", "x.x.x.x", line),
    lambda line: re.sub(r"--(dport|sport|dports|sports) \S+", r"--\1 http,hidden", line),
    lambda line: re.sub(r"--ctstate \S+", "--ctstate ETABLIERT", line),
    lambda line: f'{line} -m comment --comment "never ends',
    lambda line: line[: line.index("-A ") + 3 + len(line.partition("-A ")[2].split()[0])] + " -x",
)


def _nft(random: Random, text: str) -> str:
    objects = json.loads(text)["nftables"]
    rules = [each["rule"] for each in objects if "rule" in each and each["rule"]["expr"]]
    expressions = random.choice(rules)["expr"]
    match random.randrange(5):
        case 0:
            expressions.insert(random.randrange(len(expressions)), UNKNOWN)
        case 1:
            expressions[:] = [{"frobnicate": None}]
        case 2:
            at = random.randrange(len(expressions))
            expressions[at] = UNKNOWN if "match" in expressions[at] else {"frobnicate": expressions[at]}
        case 3:
            sets = [body for each in objects for body in each.values() if isinstance(body, dict) and body.get("elem")]
            if sets:
                held = random.choice(sets)["elem"]
                at = random.randrange(len(held))
                held[at] = [{"frobnicate": 1}, held[at][1]] if isinstance(held[at], list) else {"frobnicate": 1}
        case _:
            whole = json.dumps({"nftables": objects})
            return whole[: random.randrange(len(whole) // 2, len(whole) - 2)]
    return json.dumps({"nftables": objects})
