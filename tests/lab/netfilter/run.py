"""Run random rulesets against the kernel: load, predict, send, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random

from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from tests.lab.netfilter.cases import Batch, Case, assign_paths
from tests.lab.netfilter.compare import Score, explain, fits, path_of
from tests.lab.netfilter.rulesets import Writer
from tests.lab.netfilter.world import ROUTERS, World

TOGETHER = 200
"""Cases of one ruleset, sent at once."""
ALONE = 10
"""Cases of a ruleset whose sets packets change, each with the ruleset loaded anew."""
REPORTED = 5
"""Disagreements that are kept in full."""
Record = Callable[[str, Sequence[Case]], None]


def judge(world: World, seed: int, *, cases: int, seconds: float = float("inf"), record: Record | None = None) -> Score:
    """Let the kernel judge until so many cases or seconds are reached; the order of cases depends on the seed alone."""
    score = Score()
    batch = Batch(world)
    random = Random(seed)
    end = time.monotonic() + seconds
    while score.cases < cases and time.monotonic() < end:
        writer = Writer(random, world.to_client, world.to_server)
        text = writer.ruleset()
        score.rulesets += 1
        for _ in range(ALONE if writer.dynamic else 1):
            error = world.nft.load(text)
            assert not error, f"{error}\n{text}"
            world.conntrack.flush()
            listing = world.nft.listing()
            made = batch.make(random, 1 if writer.dynamic else TOGETHER)
            whole = judge_loaded(world, batch, made, score, text, parse_nft(listing))
            if record is not None and whole:
                record(listing, made)
    return score


def judge_loaded(world: World, batch: Batch, made: Sequence[Case], score: Score, text: str, ruleset: Ruleset) -> bool:
    """Send cases through the rules that are loaded and compare; returns whether the kernel's trace was whole."""
    batch.run(made)
    events, whole = world.trace.read()
    if whole:
        assign_paths(made, events)
    with_routes, as_asked = Firewall(ruleset, world.host), Firewall(ruleset)
    lost = _answers_can_be_lost(ruleset)
    for case in made:
        score.cases += 1
        said = _compare(with_routes, case, score, lost=lost[case.packet.hook], traced=whole)
        if not said and case.packet.oif and not case.number % 4 and _leaves(with_routes, case):
            said = _compare(as_asked, case, Score(), lost=lost[case.packet.hook], traced=whole)
        if said:
            score.wrong.append(f"{text}\n{said}" if len(score.wrong) < REPORTED else "")
    return whole


def _compare(firewall: Firewall, case: Case, score: Score, *, lost: bool, traced: bool) -> str:
    result = firewall.judge(case.packet)
    score.decided += result.decided
    if not any(fits(outcome, case, answers_can_be_lost=lost) for outcome in result.outcomes):
        return "OUTCOME " + explain(case, firewall, result.outcomes)
    if traced:
        score.traced += 1
        branches, _ = firewall.branches(case.packet)
        if not any(path_of(branch.end) == case.paths for branch in branches):
            return "PATH " + explain(case, firewall, result.outcomes)
    return ""


def _leaves(firewall: Firewall, case: Case) -> bool:
    """Whether translation leads elsewhere than to the router itself: who gives oif without routes says so."""
    own = {*ROUTERS["ip"], *ROUTERS["ip6"], "127.0.0.1", "::1"}
    said = [outcome.nat or {} for outcome in firewall.judge(case.packet).outcomes]
    return not any(address in str(nat.get("dnat", "")) for nat in said for address in own)


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
