"""Which line decides a cell: baseline, targets, rules, exceptions; of a kind the last that matches."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.model.expectation import Expectation, Must, Severity
from tests.unit.declare import (
    API,
    CART_POD,
    DAY,
    ENDPOINTS,
    HERE,
    IN_PAYMENTS,
    IN_SHOP,
    NOW,
    OUTSIDE,
    VANTAGES,
    WEB_POD,
    declare,
    inventory,
    rule,
    waive,
)  # fmt: skip


def grid(expectations: Expectations) -> dict[tuple[str, str], Expectation]:
    return {(to.id, by.id): expectations.expect(to, by) for to in ENDPOINTS for by in VANTAGES}


def test_one_component_may_reach_the_api_and_nobody_else() -> None:
    text = rule("nobody", "blocked", to__component='"kube-apiserver"', from__kind='"pod"')
    text += rule("web", "reachable", to__component='"kube-apiserver"', **{"from__labels.app": '"web"'})
    expectations = declare(text, {"prod": inventory()})
    musts = {by.id: expectations.expect(API, by).must for by in VANTAGES}
    assert musts == {
        IN_SHOP.id: Must.BLOCKED, IN_PAYMENTS.id: Must.BLOCKED, CART_POD.id: Must.BLOCKED, WEB_POD.id: Must.REACHABLE,
        HERE.id: Must.ANY, OUTSIDE.id: Must.BLOCKED,
    }  # fmt: skip
    assert expectations.expect(API, WEB_POD).source == 'expect.toml:6 "web"'


def test_baseline_then_targets_then_rules_then_exceptions() -> None:
    target = replace(API, declared="reachable", source="targets.txt:7")
    first = declare("").expect(API, WEB_POD)
    assert (first.must, first.source) == (
        Must.BLOCKED,
        'baseline "API unreachable from outside and from ordinary pods"',
    )
    second = declare("").expect(target, WEB_POD)
    assert (second.must, second.source, second.severity) == (Must.REACHABLE, "targets.txt:7", Severity.HIGH)
    text = rule("ours", "blocked", to__component='"kube-apiserver"')
    third = declare(text).expect(target, WEB_POD)
    assert (third.must, third.source) == (Must.BLOCKED, 'expect.toml:1 "ours"')
    fourth = declare(waive("for now", "2026-12-31", to__component='"kube-apiserver"') + text).expect(target, WEB_POD)
    assert (fourth.must, fourth.source) == (Must.ANY, 'expect.toml:1 "for now"')
    assert fourth.waiver is not None
    assert (fourth.waiver.owner, fourth.waiver.expires) == ("us", "2026-12-31")


SELECTORS = (
    ("to__component", ('"kube-apiserver"', '"kube*"', '"etcd"')),
    ("to__namespace", ('"shop"', '["shop", "payments"]', '"s*"')),
    ("to__port", ("443", '"5000-6000"')),
    ("from__zone", ('"pod"', '["outside", "admin"]')),
    ("from__namespace", ('"payments"', '"*"')),
    ("from__name", ('"pod:shop/*"', '"local"')),
    ("from__same_namespace", ("true", "false")),
    ("from__service_account", ('"robot"', '"default"')),
)


@st.composite
def rules(draw: st.DrawFn) -> list[tuple[str, dict[str, str]]]:
    made = []
    for _ in range(draw(st.integers(0, 6))):
        chosen = draw(st.lists(st.sampled_from(SELECTORS), min_size=1, max_size=3, unique_by=lambda each: each[0]))
        must = draw(st.sampled_from(["blocked", "reachable", "any"]))
        made.append((must, {key: draw(st.sampled_from(values)) for key, values in chosen}))
    return made


def text_of(story: list[tuple[str, dict[str, str]]]) -> str:
    return "".join(rule(f"r{number}", must, **selectors) for number, (must, selectors) in enumerate(story))


def alone(must: str, selectors: dict[str, str]) -> set[tuple[str, str]]:
    """The cells that a rule speaks of, told by itself over a world without any other."""
    decided = grid(declare(rule("it", must, **selectors), {"prod": inventory()}))
    return {key for key, expectation in decided.items() if '"it"' in expectation.source}


@given(rules())
def test_the_last_rule_that_matches_decides(story: list[tuple[str, dict[str, str]]]) -> None:
    decided = grid(declare(text_of(story), {"prod": inventory()}))
    untouched = grid(declare("", {"prod": inventory()}))
    spoken = [alone(must, selectors) for must, selectors in story]
    for key, expectation in decided.items():
        numbers = [number for number, cells in enumerate(spoken) if key in cells]
        if numbers:
            assert expectation.source.endswith(f'"r{numbers[-1]}"')
            assert expectation.must == story[numbers[-1]][0]
        else:
            assert expectation == untouched[key]


@given(rules(), st.data())
def test_a_rule_that_matches_nothing_changes_nothing(
    story: list[tuple[str, dict[str, str]]], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(story)))
    nowhere = ("blocked", {"to__namespace": '"shop"', "to__port": "1"})
    with_it = grid(declare(text_of([*story[:at], nowhere, *story[at:]]), {"prod": inventory()}))
    without = grid(declare(text_of(story), {"prod": inventory()}))
    assert {key: each.must for key, each in with_it.items()} == {key: each.must for key, each in without.items()}


@given(rules(), st.randoms(use_true_random=False))
def test_the_order_of_disjoint_rules_is_of_no_matter(story: list[tuple[str, dict[str, str]]], random: Any) -> None:
    disjoint: list[tuple[str, dict[str, str]]] = []
    taken: set[tuple[str, str]] = set()
    for each in story:
        cells = alone(*each)
        if not cells & taken:
            disjoint.append(each)
            taken |= cells
    shuffled = disjoint.copy()
    random.shuffle(shuffled)
    one, other = (grid(declare(text_of(order), {"prod": inventory()})) for order in (disjoint, shuffled))
    assert {key: each.must for key, each in one.items()} == {key: each.must for key, each in other.items()}


@given(rules(), rules())
def test_expired_exceptions_are_as_none(
    story: list[tuple[str, dict[str, str]]], waived: list[tuple[str, dict[str, str]]]
) -> None:
    text = text_of(story)
    exceptions = "".join(waive(f"e{number}", "2026-06-14", **selectors) for number, (_, selectors) in enumerate(waived))
    with_them = grid(declare(text + exceptions, {"prod": inventory()}))
    without = grid(declare(text, {"prod": inventory()}))
    assert {key: replace(each, expired=()) for key, each in with_them.items()} == without
    touched = set().union(*(alone("any", selectors) for _, selectors in waived))
    assert {key for key, each in with_them.items() if each.expired} >= touched


def test_an_exception_holds_to_the_end_of_its_last_day_and_no_longer() -> None:
    text = waive("metadata", "2026-06-15", to__component='"kube-apiserver"')
    expectations = declare(text, now=NOW)
    assert expectations.expect(API, WEB_POD).must is Must.ANY
    things = {each.id: each for each in ENDPOINTS}, {each.id: each for each in VANTAGES}
    assert not any(expectations.refresh(*things, NOW + DAY / 3))
    moved = expectations.refresh(*things, NOW + DAY / 2)
    assert API.id in moved.endpoints
    after = expectations.expect(API, WEB_POD)
    assert after.must is Must.BLOCKED
    assert after.expired == ('expect.toml:1 "metadata" of us held until 2026-06-15',)
