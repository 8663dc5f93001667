"""Random iptables rulesets against the kernel: what nft and iptables-save each show, merged, beside real packets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from random import Random

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from tests.lab.netfilter.cases import Batch
from tests.lab.netfilter.compare import Score
from tests.lab.netfilter.iptables_rules import IptablesWriter
from tests.lab.netfilter.rulesets import TRACE, TRACKING
from tests.lab.netfilter.run import TOGETHER, judge_rules
from tests.lab.netfilter.world import World

RESTORES = {"ip": "iptables-nft-restore", "ip6": "ip6tables-nft-restore"}
SAVES = ("iptables-nft-save", "ip6tables-nft-save")


def judge_iptables(world: World, seed: int, *, cases: int, seconds: float = 0.0) -> Score:
    """Let the kernel judge iptables rulesets until so many cases were compared and so many seconds have gone."""
    score, batch, random = Score(), Batch(world), Random(seed)
    end = time.monotonic() + seconds
    while score.cases < cases or time.monotonic() < end:
        texts = []
        for family, restore in RESTORES.items():
            writer = IptablesWriter(random, family, world.to_client, world.to_server)
            texts.append((restore, writer.sets(), writer.rules()))
        text = "\n".join(part for each in texts for part in each[1:])
        score.rulesets += 1
        judge_rules(world, batch, batch.make(random, TOGETHER), score, text, partial(_load, world, texts))
    return score


def _load(world: World, texts: Sequence[tuple[str, str, str]], _: int) -> Ruleset:
    error = world.nft.load(TRACE % TRACKING)
    assert not error, error
    for restore, sets, rules in texts:
        world.network.on("router", "ipset", "restore", given=sets)
        world.network.on("router", restore, given=rules)
    world.conntrack.flush()
    return _collected(world)


def _collected(world: World) -> Ruleset:
    """What a collection would bring, read as the product reads it."""
    sets = ipset.parse(world.network.on("router", "ipset", "save"))
    dumps = [iptables.parse(world.network.on("router", save, "-c"), sets=sets) for save in SAVES]
    return merge(parse_nft(world.nft.listing()), dumps, sets)
