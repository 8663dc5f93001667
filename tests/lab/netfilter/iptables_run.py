"""Random iptables rulesets against the kernel: what nft and iptables-save each show, merged, beside real packets."""

from __future__ import annotations

import time
from random import Random

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from tests.lab.netfilter.cases import Batch
from tests.lab.netfilter.compare import Score
from tests.lab.netfilter.iptables_rules import IptablesWriter
from tests.lab.netfilter.rulesets import TRACE
from tests.lab.netfilter.run import TOGETHER, judge_loaded
from tests.lab.netfilter.world import World

RESTORES = {"ip": "iptables-nft-restore", "ip6": "ip6tables-nft-restore"}
SAVES = ("iptables-nft-save", "ip6tables-nft-save")


def judge_iptables(world: World, seed: int, *, cases: int, seconds: float = float("inf")) -> Score:
    """Let the kernel judge iptables rulesets until so many cases or seconds are reached."""
    score, batch, random = Score(), Batch(world), Random(seed)
    end = time.monotonic() + seconds
    while score.cases < cases and time.monotonic() < end:
        text = _load(world, random)
        score.rulesets += 1
        world.conntrack.flush()
        judge_loaded(world, batch, batch.make(random, TOGETHER), score, text, _collected(world))
    return score


def _load(world: World, random: Random) -> str:
    error = world.nft.load(TRACE)
    assert not error, error
    texts = []
    for family, restore in RESTORES.items():
        writer = IptablesWriter(random, family, world.to_client, world.to_server)
        sets, rules = writer.sets(), writer.rules()
        world.network.on("router", "ipset", "restore", given=sets)
        world.network.on("router", restore, given=rules)
        texts += [sets, rules]
    return "\n".join(texts)


def _collected(world: World) -> Ruleset:
    """What a collection would bring, read as the product reads it."""
    sets = ipset.parse(world.network.on("router", "ipset", "save"))
    dumps = [iptables.parse(world.network.on("router", save, "-c"), sets=sets) for save in SAVES]
    return merge(parse_nft(world.nft.listing()), dumps, sets)
