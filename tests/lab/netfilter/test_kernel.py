"""Half a minute of random rulesets against the kernel; `python -m tests.lab.netfilter` runs any number of cases."""

from __future__ import annotations

import os
import time

import pytest

from tests.lab.netfilter.compare import Score
from tests.lab.netfilter.iptables_run import judge_iptables
from tests.lab.netfilter.run import judge
from tests.lab.netfilter.world import world
from tests.lab.netns import can_make_namespaces

CASES, IPTABLES_CASES, SEED = 6_000, 3_000, 20_000
"""Compared however busy the machine is; long runs take other seeds."""
SECONDS = 32
"""How long to go on with more where it is not busy."""


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    why = can_make_namespaces()
    if why:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the lab can't run: {why}")
        pytest.skip(why)
    end = time.monotonic() + SECONDS
    with world() as made:
        done = {"nft": judge(made, SEED, cases=CASES), "iptables": judge_iptables(made, SEED, cases=IPTABLES_CASES)}
        done["more"] = judge(made, SEED + 1, cases=0, seconds=end - time.monotonic())
    for name, score in done.items():
        print(f"{name}: {score.said()}")
    return done


@pytest.mark.netns
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["nft", "iptables", "more"])
def test_the_kernel_does_nothing_that_was_not_predicted(scores: dict[str, Score], name: str) -> None:
    score = scores[name]
    assert score.wrong[:1] == []
    assert score.traced >= 0.9 * score.cases


@pytest.mark.netns
@pytest.mark.parametrize("name", ["nft", "iptables"])
def test_nearly_all_is_decided_where_few_rules_draw_or_limit(scores: dict[str, Score], name: str) -> None:
    assert scores[name].decided / scores[name].cases >= 0.95
