"""Whatever comes in: nothing raises, and answers never rest on what is gone."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kubeshield_tui.evidence.netpol.explain import decide, evaluate
from kubeshield_tui.evidence.netpol.parse import is_policy, parse_policy
from kubeshield_tui.model.cluster import NamespaceRecord, PodRecord
from tests.unit.netpol.generated import (
    LAX,
    asked,
    changes,
    every_question,
    objects,
    parsed,
    questions,
    world_of,
)
from tests.unit.netpol.plain import PlainPod, Raw


@settings(LAX, max_examples=400)
@given(objects)
def test_no_mess_raises_and_whatever_comes_of_it_can_be_asked(raw: Raw) -> None:
    is_policy(raw)
    world = world_of([])
    world.put(parse_policy(raw))
    for question in every_question((80,)):
        verdict = evaluate(world, asked(question))
        assert decide(world, asked(question)) is verdict.verdict
        assert "\x1b" not in repr(verdict)


@settings(LAX, max_examples=150)
@given(changes, st.lists(questions, min_size=1, max_size=3))
def test_after_every_change_the_answers_are_those_of_a_world_made_anew(
    steps: list[Any], wanted: list[tuple[PlainPod, PlainPod, str, int]]
) -> None:
    world = world_of([])
    others: dict[str, PodRecord | NamespaceRecord] = {}
    for step in steps:
        if step == "drop":
            for policy in list(world.policies)[::2]:
                world.drop(policy.key)
        elif isinstance(step, list):
            for item in step:
                world.put(parsed(item))
        else:
            world.put(step)
            others[f"{type(step).__name__} {getattr(step, 'namespace', '')}/{step.name}"] = step
        fresh = world_of([])
        for record in (*others.values(), *world.policies):
            fresh.put(record)
        for question in wanted:
            assert decide(world, asked(question)) is decide(fresh, asked(question))
