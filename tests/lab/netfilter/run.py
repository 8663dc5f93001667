"""Run random rulesets against the kernel: load, predict, send, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.routing import Host
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from tests.lab.netfilter.cases import Batch, Case, assign_paths
from tests.lab.netfilter.compare import Idle, Score, explain, fits, idle_rules, same_way
from tests.lab.netfilter.rulesets import Writer
from tests.lab.netfilter.world import ROUTERS, World

TOGETHER = 200
"""Cases of one ruleset, sent at once."""
ALONE = 10
"""Cases of a ruleset whose sets packets change, each with the ruleset loaded anew."""
SETTLING = 0.15
"""Seconds that the kernel may take to let go of a ruleset."""
REPORTED = 5
"""Disagreements that are kept in full."""
PATIENCE = 4
"""How many times longer than usual to wait the second time."""
Record = Callable[[str, Sequence[Case]], None]
Load = Callable[[int], Ruleset]
"""Loads a ruleset, taking so many times longer than usual, and returns what the product makes of it."""


def judge(world: World, seed: int, *, cases: int, seconds: float = 0.0, record: Record | None = None) -> Score:
    """Let the kernel judge until so many cases were compared and so many seconds have gone.

    The order of cases depends on the seed alone.
    """
    score, batch, random = Score(), Batch(world), Random(seed)
    end = time.monotonic() + seconds
    while score.cases < cases or time.monotonic() < end:
        writer = Writer(random, world.to_client, world.to_server)
        text = writer.ruleset()
        load = partial(_load, world, text, SETTLING if writer.settles else 0.0)
        score.rulesets += 1
        for _ in range(ALONE if writer.dynamic else 1):
            made = batch.make(random, 1 if writer.dynamic else TOGETHER)
            whole = judge_rules(world, batch, made, score, text, load)
            if record is not None and whole:
                record(world.nft.listing(), made)
    return score


def _load(world: World, text: str, settling: float, patience: int) -> Ruleset:
    error = world.nft.load(text)
    assert not error, f"{error}\n{text}"
    time.sleep(settling * patience)
    world.conntrack.flush()
    return parse_nft(world.nft.listing())


def judge_rules(world: World, batch: Batch, made: Sequence[Case], score: Score, text: str, load: Load) -> bool:
    """Load rules, send cases through them and compare; returns whether the kernel's trace was whole.

    What disagrees is tried once more with patience: a busy machine may be late with a packet or with its answer, and
    only what is seen twice counts.
    """
    whole, found = _try(world, batch, made, score, load, patience=1)
    if found:
        _, again = _try(world, batch, batch.again([case for case, _ in found]), Score(), load, patience=PATIENCE)
        said = again or [(case, f"NOT SEEN AGAIN {what}") for case, what in found]
        kept = score.wrong if again else score.once
        kept += [f"{text}\n{what}" if len(kept) < REPORTED else "" for _, what in said]
    return whole


def _try(
    world: World, batch: Batch, made: Sequence[Case], score: Score, load: Load, *, patience: int
) -> tuple[bool, list[tuple[Case, str]]]:
    ruleset = load(patience)
    batch.run(made, patience)
    events, whole = world.trace.read()
    if whole:
        assign_paths(made, events)
    return whole, compare(ruleset, world.host, made, score, traced=whole)


def compare(
    ruleset: Ruleset, host: Host, cases: Sequence[Case], score: Score, *, traced: bool = True
) -> list[tuple[Case, str]]:
    """Compare what is predicted with what the kernel did; returns the cases that disagree, and how."""
    with_routes, as_asked = Firewall(ruleset, host), Firewall(ruleset)
    lost = _answers_can_be_lost(ruleset)
    idle, any_idle = idle_rules(ruleset, of_all=False), idle_rules(ruleset, of_all=True)
    wrong = []
    for case in cases:
        score.cases += 1
        said = _compare(with_routes, case, score, idle, lost=lost[case.packet.hook], traced=traced)
        if not said and case.packet.oif and not case.number % 4 and _leaves(with_routes, case):
            said = _compare(as_asked, case, Score(), any_idle, lost=lost[case.packet.hook], traced=traced)
        if said:
            wrong.append((case, said))
    return wrong


def _compare(firewall: Firewall, case: Case, score: Score, idle: Idle, *, lost: bool, traced: bool) -> str:
    result = firewall.judge(case.packet)
    score.decided += result.decided
    if not any(fits(outcome, case, answers_can_be_lost=lost) for outcome in result.outcomes):
        return "OUTCOME " + explain(case, firewall, result.outcomes)
    if traced:
        branches, is_all = firewall.branches(case.packet)
        if not is_all:
            return ""
        score.traced += 1
        if not any(same_way(branch.end, case, idle) for branch in branches):
            return "PATH " + explain(case, firewall, result.outcomes)
    return ""


def _leaves(firewall: Firewall, case: Case) -> bool:
    """Whether routes do nothing that who gives oif without them could not know of: refuse it, or lead to the router."""
    own = {*ROUTERS["ip"], *ROUTERS["ip6"], "127.0.0.1", "::1"}
    outcomes = firewall.judge(case.packet).outcomes
    refused = any(outcome.decider.table is None and outcome.verdict != "accept" for outcome in outcomes)
    said = [outcome.nat or {} for outcome in outcomes]
    return not refused and not any(address in str(nat.get("dnat", "")) for nat in said for address in own)


def _answers_can_be_lost(ruleset: Ruleset) -> dict[str, bool]:
    """Whether chains judge the ICMP errors and resets that the router itself sends, by the hook of what they answer.

    They may drop those; an answer to what began on the router comes back to it over lo.
    """
    hooks = {
        chain.hook
        for table in ruleset.tables
        if table.name != "trace"
        for chain in table.chains.values()
        if chain.type != "nat"
    }
    outward = bool(hooks & {"output", "postrouting"})
    return {"forward": outward, "input": outward, "output": outward or bool(hooks & {"prerouting", "input"})}
