"""What must hold for all policies: order, union, exceptions, names, open choices, and the word-by-word evaluation."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.evidence.netpol.connectivity import PortRanges, connectivity
from kubeshield_tui.evidence.netpol.explain import decide, evaluate
from kubeshield_tui.evidence.netpol.party import End, Question
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model.cluster import NamespaceRecord
from kubeshield_tui.model.prediction import Predicted
from tests.unit.netpol.generated import (
    ENDS,
    KNOBS,
    LAX,
    MATCHES_PODS,
    PODS,
    PORTS,
    SPACES,
    admin_policies,
    as_object,
    asked,
    every_question,
    mixed_world,
    ordered_admin_policies,
    parsed,
    policies,
    profiles,
    questions,
    record_of,
    specs,
    world_of,
)
from tests.unit.netpol.plain import PlainPod, PlainWorld, Raw


@LAX
@given(policies)
def test_the_word_by_word_evaluation_says_the_same(raw: list[Raw]) -> None:
    plain, world = PlainWorld(SPACES, raw), world_of(raw)
    for question in every_question():
        expected = Predicted.ALLOW if plain.allows(*question) else Predicted.DENY
        assert decide(world, asked(question)) is expected, question
        assert evaluate(world, asked(question)).verdict is expected, question


@LAX
@given(policies, ordered_admin_policies)
def test_so_it_does_of_tiers_with_priorities_of_their_own(raw: list[Raw], more: list[Raw]) -> None:
    plain, world = PlainWorld(SPACES, raw, tuple(more)), world_of(raw + more)
    for question in every_question((79, 80)):
        expected = Predicted.ALLOW if plain.allows(*question) else Predicted.DENY
        assert decide(world, asked(question)) is expected, question
        assert evaluate(world, asked(question)).verdict is expected, question


@LAX
@given(policies, st.randoms(use_true_random=False), questions)
def test_order_does_not_matter(raw: list[Raw], draw: Any, question: tuple[PlainPod, PlainPod, str, int]) -> None:
    shuffled = list(raw)
    draw.shuffle(shuffled)
    assert evaluate(world_of(raw), asked(question)) == evaluate(world_of(shuffled), asked(question))


@LAX
@given(policies, st.sampled_from(sorted(SPACES)), specs, questions)
def test_a_policy_takes_an_allow_away_only_where_it_newly_isolates(
    raw: list[Raw], namespace: str, spec: Raw, question: tuple[PlainPod, PlainPod, str, int]
) -> None:
    world = world_of(raw)
    before = evaluate(world, asked(question))
    world.put(parsed(as_object(99, namespace, spec)))
    after = evaluate(world, asked(question))
    for earlier, later in zip(before.directions, after.directions, strict=True):
        if earlier.verdict is Predicted.ALLOW and later.verdict is not Predicted.ALLOW:
            assert not earlier.isolated
            assert later.isolated


@LAX
@given(
    st.integers(24, 31),
    st.integers(0, 255),
    st.lists(st.tuples(st.integers(25, 32), st.integers(0, 255)), max_size=3),
    st.booleans(),
)
def test_exceptions_are_a_difference_of_sets(
    length: int, first: int, holes: list[tuple[int, int]], is_pod: bool
) -> None:
    base = first & ~(2 ** (32 - length) - 1)
    whole = set(range(base, base + 2 ** (32 - length)))
    kept, excepted = set(whole), []
    for size, value in holes:
        low = value & ~(2 ** (32 - size) - 1)
        inner = set(range(low, low + 2 ** (32 - size)))
        assume(inner < whole)
        kept -= inner
        excepted.append(f"10.9.9.{low}/{size}")
    block = {"cidr": f"10.9.9.{base}/{length}", "except": excepted}
    spec = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]}
    world = world_of([as_object(0, "red", spec)])
    for value in range(256):
        pod = PlainPod("blue", "guest", {}, f"10.9.9.{value}")
        source = pod if is_pod else PlainPod("", pod.address, {}, pod.address)
        if is_pod:
            world.put(record_of(pod))
        expected = Predicted.ALLOW if value in kept else Predicted.DENY
        assert decide(world, asked((source, PODS[0], "TCP", 80))) is expected


@LAX
@given(policies)
def test_names_do_not_matter(raw: list[Raw]) -> None:
    space_names = {name: f"space-{name}" for name in SPACES}
    world, renamed = world_of(raw), World(MATCHES_PODS)
    for name, own in SPACES.items():
        renamed.put(NamespaceRecord(cluster="c", name=space_names[name], labels=_renamed(own)))
    for pod in PODS:
        record = record_of(pod)
        renamed.put(
            replace(record, namespace=space_names[pod.namespace], name=f"pod-{pod.name}", labels=_renamed(pod.labels))
        )
    for number, item in enumerate(raw):
        spec = _renamed_selectors(item["spec"])
        renamed.put(parsed(as_object(99 - number, space_names[item["metadata"]["namespace"]], spec)))
    for question in every_question((79, 80)):
        source, destination, protocol, port = question
        one, other = (
            pod._replace(namespace=space_names.get(pod.namespace, ""), name=f"pod-{pod.name}")
            for pod in (source, destination)
        )
        assert decide(world, asked(question)) is decide(renamed, asked((one, other, protocol, port)))


def _renamed(own: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((f"new-{key}", f"v-{value}") for key, value in own.items()))


def _renamed_selectors(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed_selectors(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _renamed_selectors(item) for key, item in value.items()}
    if "matchLabels" in changed:
        changed["matchLabels"] = dict(_renamed(value["matchLabels"]))
    if "operator" in changed:
        changed["key"] = f"new-{value['key']}"
        changed["values"] = [f"v-{item}" for item in value.get("values", ())]
    return changed


@LAX
@given(policies, admin_policies, profiles, st.sampled_from(KNOBS), st.sampled_from(ENDS), st.sampled_from(ENDS))
def test_what_becomes_known_stays_within_what_was_open(
    raw: list[Raw], more: list[Raw], profile: Profile, knob: str, source: End, destination: End
) -> None:
    world = mixed_world(raw + more, replace(profile, **{knob: None}))
    question = Question(source=source, destination=destination, port=80)
    verdict = evaluate(world, question)
    assert decide(world, question) is verdict.verdict
    for value in (True, False):
        world.profile = replace(profile, **{knob: value})
        refined = evaluate(world, question)
        assert verdict.verdict in {Predicted.UNKNOWN, refined.verdict}
        for earlier, later in zip(verdict.directions, refined.directions, strict=True):
            assert earlier.verdict in {Predicted.UNKNOWN, later.verdict}


@LAX
@given(policies, st.sampled_from(ENDS), st.sampled_from(ENDS))
def test_an_unknown_verdict_says_what_it_hangs_on_and_a_known_one_who_decides(
    raw: list[Raw], source: End, destination: End
) -> None:
    verdict = evaluate(mixed_world(raw, Profile()), Question(source=source, destination=destination, port=80))
    assert (verdict.verdict is Predicted.UNKNOWN) <= bool(verdict.assumptions)
    for direction in verdict.directions:
        if direction.verdict is Predicted.DENY:
            assert any(effect.decides for effect in direction.policies)


@settings(LAX, max_examples=60)
@given(policies, profiles)
def test_connectivity_is_what_each_question_answers(raw: list[Raw], profile: Profile) -> None:
    world = world_of(raw, profile)
    listed = list(connectivity(world))
    for source, destination, protocol, port in every_question((1, *PORTS, 54, 82, 65535)):
        if source == destination:
            continue
        verdict = decide(world, asked((source, destination, protocol, port)))
        found = [item for item in listed if _is(source, item.source) and _is(destination, item.destination)]
        assert len(found) <= 1
        said = [Predicted.ALLOW for item in found if _holds(item.allowed, protocol, port)]
        said += [Predicted.UNKNOWN for item in found if _holds(item.unknown, protocol, port)]
        assert said == ([] if verdict is Predicted.DENY else [verdict]), (source, destination, protocol, port)


def _holds(held: tuple[PortRanges, ...], protocol: str, port: int) -> bool:
    return any(
        ports.protocol == protocol and any(first <= port <= last for first, last in ports.ranges) for ports in held
    )


def _is(pod: PlainPod, text: str) -> bool:
    """Whether an end of the listing is, or holds, this one."""
    if pod.namespace or "/" in text:
        return text == f"{pod.namespace}/{pod.name}"
    first, _, last = text.partition("-")
    low, value, high = (ip_address(item) for item in (first, pod.address, last or first))
    return low <= value <= high
