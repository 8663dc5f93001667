"""Whatever comes in: nothing raises, and answers never rest on what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kubeshield_tui.evidence.netpol.explain import decide, evaluate
from kubeshield_tui.evidence.netpol.parse import is_policy, parse_policy
from kubeshield_tui.evidence.netpol.policy import Where
from kubeshield_tui.model.cluster import NamespaceRecord, PodRecord
from tests.unit.netpol.generated import (
    LAX,
    admin_policies,
    asked,
    changes,
    every_question,
    mess,
    objects,
    parsed,
    policies,
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


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside an object."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from _paths(item, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    if isinstance(value, list):
        return [_replaced(item, tuple(rest), new) if place == key else item for place, item in enumerate(value)]
    return {**value, key: _replaced(value[key], tuple(rest), new)}


@settings(LAX, max_examples=300)
@given(st.one_of(policies, admin_policies).filter(bool), st.data())
def test_one_wrong_value_in_a_good_policy_raises_nothing(raw: list[Raw], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(_paths(raw[0]))[1:]))
    broken = _replaced(raw[0], path, data.draw(mess))
    world = world_of([])
    world.put(parse_policy(broken, Where(file="a.yaml", line=1)))
    for question in every_question((80,)):
        assert decide(world, asked(question)) is evaluate(world, asked(question)).verdict
