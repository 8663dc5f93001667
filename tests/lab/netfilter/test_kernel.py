"""Half a minute of random rulesets against the kernel; `python -m tests.lab.netfilter` runs any number of cases."""

from __future__ import annotations

import os

import pytest

from tests.lab.netfilter.compare import Score
from tests.lab.netfilter.run import judge
from tests.lab.netfilter.world import world
from tests.lab.netns import can_make_namespaces

SECONDS, CASES, SEED = 30, 6_000, 20_000
"""How long to compare, and how much at least, however busy the machine; long runs take other seeds."""


@pytest.fixture(scope="module")
def score() -> Score:
    why = can_make_namespaces()
    if why:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the lab can't run: {why}")
        pytest.skip(why)
    with world() as made:
        judged = judge(made, SEED, cases=CASES, seconds=SECONDS)
    print(judged.said())
    return judged


@pytest.mark.netns
@pytest.mark.timeout(600)
def test_the_kernel_does_nothing_that_was_not_predicted(score: Score) -> None:
    assert score.wrong[:1] == []
    assert score.cases >= CASES
    assert score.traced > 0.9 * score.cases


@pytest.mark.netns
def test_nearly_all_is_decided_where_few_rules_draw_or_limit(score: Score) -> None:
    assert score.decided / score.cases >= 0.95
