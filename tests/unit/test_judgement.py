"""Verdict, proof, layers, findings: the definitions of docs/concepts/verdicts.md, each with the case that breaks it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.judgement.ledger import Sighting
from kubeshield_tui.judgement.proof import WINDOW, saw_open_around
from kubeshield_tui.model.endpoint import Scope
from kubeshield_tui.model.expectation import Must, Severity
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Posture, Reason, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import DIRECT_RUNNER, VantageFacts, VantageStatus, Zone
from kubeshield_tui.model.verdict import Verdict
from tests.unit.estate import endpoint, vantage
from tests.unit.judged import NOW, World

API = endpoint("api", component="kube-apiserver")
DB = endpoint("db", port=5432)
SHOP = vantage("pod:shop", node="n1")
PAY = vantage("pod:payments", node="n2")
OPS = vantage("ssh:ops")


def proven(must: str = "") -> World:
    """DB open from OPS; SHOP reaches API: whatever SHOP does not get from DB now is a block."""
    db = endpoint("db", port=5432, declared=must)
    world = World(API, db, SHOP, PAY, OPS)
    world.see(db, OPS, State.OPEN)
    world.see(API, SHOP, State.OPEN)
    world.db = db
    return world


def test_open_is_exposed_only_where_it_must_be_blocked() -> None:
    world = World(API, DB, SHOP, OPS)
    world.see(API, SHOP, State.OPEN)
    world.see(API, OPS, State.OPEN)
    assert world.verdict(API, SHOP) is Verdict.EXPOSED
    assert world.verdict(API, OPS) is Verdict.REACHABLE  # zone admin: the baseline says nothing


@pytest.mark.parametrize(
    ("component", "zone", "must"),
    [
        ("kube-apiserver", Zone.OUTSIDE, Must.BLOCKED),
        ("kube-apiserver", Zone.POD, Must.BLOCKED),
        ("kube-apiserver", Zone.ADMIN, Must.ANY),
        ("kube-apiserver", Zone.NODE, Must.ANY),
        ("kubelet", Zone.POD, Must.BLOCKED),
        ("kubelet", Zone.NODE, Must.ANY),
        ("etcd", Zone.ADMIN, Must.BLOCKED),
        ("etcd", Zone.NODE, Must.BLOCKED),
        ("cloud-metadata", Zone.POD, Must.BLOCKED),
        ("cloud-metadata", Zone.NODE, Must.ANY),
        ("kubelet-read-only", Zone.NODE, Must.BLOCKED),
        ("service", Zone.OUTSIDE, Must.ANY),
    ],
)
def test_baseline(component: str, zone: Zone, must: Must) -> None:
    target, source = endpoint("x", component=component), vantage("ssh:there", zone)
    world = World(target, source)
    world.see(target, source, State.OPEN)
    assert world.of(target, source).judgement.expectation.must is must


def test_the_users_own_line_wins_over_the_baseline() -> None:
    target = endpoint("api", component="kube-apiserver", declared="reachable")
    world = World(target, SHOP)
    world.see(target, SHOP, State.OPEN)
    assert world.verdict(target, SHOP) is Verdict.REACHABLE
    assert world.of(target, SHOP).judgement.expectation.source == "targets.txt:1"


def test_silence_is_blocked_when_target_and_vantage_are_alive() -> None:
    world = proven()
    world.see(world.db, SHOP, State.FILTERED)
    outcome = world.of(world.db, SHOP)
    assert outcome.judgement.verdict is Verdict.BLOCKED
    assert outcome.judgement.proof.target_by == OPS.id
    assert outcome.judgement.proof.vantage_basis == "answered"


def test_silence_without_a_living_target_is_unproven() -> None:
    world = World(API, DB, SHOP, OPS)
    world.see(API, SHOP, State.OPEN)
    world.see(DB, SHOP, State.FILTERED)
    assert world.verdict(DB, SHOP) is Verdict.UNPROVEN


def test_silence_from_a_vantage_that_reaches_nothing_is_unproven() -> None:
    world = World(API, DB, SHOP, OPS)
    world.see(DB, OPS, State.OPEN)
    world.see(DB, SHOP, State.FILTERED)
    assert world.verdict(DB, SHOP) is Verdict.UNPROVEN


def test_an_answer_from_its_own_address_does_not_show_a_vantage_alive() -> None:
    own = endpoint("own", host="192.0.2.1", port=22)  # the vantage's own address
    world = World(DB, own, SHOP, OPS)
    world.see(DB, OPS, State.OPEN)
    world.see(own, SHOP, State.OPEN)
    world.see(DB, SHOP, State.FILTERED)
    assert world.verdict(DB, SHOP) is Verdict.UNPROVEN


def test_one_attempt_proves_nothing() -> None:
    world = proven()
    world.see(world.db, SHOP, State.FILTERED, attempts=1)
    assert world.verdict(world.db, SHOP) is Verdict.UNPROVEN


def test_one_icmp_reject_is_an_answer() -> None:
    world = proven()
    world.see(world.db, SHOP, State.FILTERED, attempts=1, reason=Reason.ADMIN_PROHIBITED)
    assert world.verdict(world.db, SHOP) is Verdict.BLOCKED


def test_a_control_that_answered_long_ago_is_asked_again_and_proves_nothing_until_then() -> None:
    world = proven()
    world.see(API, SHOP, State.OPEN, at=WINDOW + 9)
    world.see(world.db, SHOP, State.FILTERED, at=WINDOW + 10)
    outcome = world.of(world.db, SHOP)
    assert outcome.judgement.verdict is Verdict.UNPROVEN
    assert [want.key for want in outcome.wants] == [CellKey(world.db.id, OPS.id)]
    world.see(world.db, OPS, State.OPEN, at=WINDOW + 10.1)
    assert world.verdict(world.db, SHOP) is Verdict.BLOCKED
    assert world.of(world.db, SHOP).wants == ()


def test_a_stopped_service_is_not_a_block() -> None:
    world = proven()
    world.see(API, SHOP, State.OPEN, at=WINDOW + 9)
    world.see(world.db, SHOP, State.FILTERED, at=WINDOW + 10)
    world.see(world.db, OPS, State.FILTERED, at=WINDOW + 11)  # the control, asked again: it is gone for all
    assert world.verdict(world.db, SHOP) is Verdict.UNPROVEN
    assert world.of(world.db, SHOP).wants == ()


def test_open_before_and_after_with_nothing_between_counts_at_any_distance() -> None:
    def seen(at: float, state: State) -> Sighting:
        return Sighting(at, state, Reason.SYN_ACK, Posture.UNKNOWN, "", True)

    assert saw_open_around((seen(0, State.OPEN), seen(900, State.OPEN)), 450)
    assert not saw_open_around((seen(0, State.OPEN), seen(440, State.CLOSED), seen(900, State.OPEN)), 450)
    assert not saw_open_around((seen(0, State.OPEN),), 450)
    assert saw_open_around((seen(440, State.OPEN), seen(445, State.CLOSED)), 450)


def test_a_vantage_that_fell_silent_asks_its_own_control() -> None:
    world = proven()
    world.see(world.db, OPS, State.OPEN, at=2 * WINDOW)
    world.see(world.db, SHOP, State.FILTERED, at=2 * WINDOW)
    outcome = world.of(world.db, SHOP)
    assert outcome.judgement.verdict is Verdict.UNPROVEN
    assert CellKey(API.id, SHOP.id) in [want.key for want in outcome.wants]
    world.see(API, SHOP, State.OPEN, at=2 * WINDOW + 1)
    assert world.verdict(world.db, SHOP) is Verdict.BLOCKED


def test_closed_everywhere_is_dead() -> None:
    world = World(API, DB, SHOP, OPS)
    for source in (SHOP, OPS):
        world.see(DB, source, State.CLOSED)
    assert {world.verdict(DB, SHOP), world.verdict(DB, OPS)} == {Verdict.DEAD}


def test_a_reset_on_the_targets_behalf_counts_when_seen_twice_five_seconds_apart() -> None:
    world = proven()
    world.see(world.db, SHOP, State.CLOSED)
    assert world.verdict(world.db, SHOP) is Verdict.UNPROVEN
    assert any(
        want.key == CellKey(world.db.id, SHOP.id) and want.not_before == NOW + 5
        for want in world.of(world.db, SHOP).wants
    )
    world.see(world.db, SHOP, State.CLOSED, at=4)
    assert world.verdict(world.db, SHOP) is Verdict.UNPROVEN
    world.see(world.db, SHOP, State.CLOSED, at=5.5)
    assert world.verdict(world.db, SHOP) is Verdict.BLOCKED


def test_over_forwarding_a_reset_is_never_a_block() -> None:
    world = proven()
    jump = replace(vantage("ssh:jump?via=direct"), facts=VantageFacts(runner=f"{DIRECT_RUNNER}: no python3 on jump"))
    world.vantages[jump.id] = jump
    world.see(API, jump, State.OPEN)
    for at in (0, 6, 12):
        world.see(world.db, jump, State.CLOSED, at=at)
        assert world.verdict(world.db, jump) is Verdict.UNPROVEN
    assert "look alike" in world.of(world.db, jump).judgement.sentence
    world.see(world.db, jump, State.FILTERED, at=13)
    assert world.verdict(world.db, jump) is Verdict.BLOCKED


@pytest.mark.parametrize("state", [State.CLOSED, State.FILTERED])
def test_what_must_be_reachable_and_is_not_is_broken(state: State) -> None:
    world = proven("reachable")
    world.see(world.db, SHOP, state)
    assert world.verdict(world.db, SHOP) is Verdict.BROKEN
    (finding,) = world.of(world.db, SHOP).findings
    assert finding.code == "broken"


def test_lost_and_errors_are_never_blocked() -> None:
    world = proven()
    world.see(world.db, SHOP, State.LOST)
    assert world.verdict(world.db, SHOP) is Verdict.LOST
    assert world.of(world.db, SHOP).judgement.depth is None
    world.see(world.db, SHOP, State.ERROR)
    assert world.verdict(world.db, SHOP) is Verdict.UNTESTED


def test_liveness_counts_only_inside_one_scope_instance() -> None:
    metadata = endpoint("metadata", component="cloud-metadata", host="169.254.169.254", port=80, scope=Scope.NODE)
    same_node = vantage("pod:same/probe", node="n1")
    world = World(API, metadata, SHOP, PAY, same_node)
    world.see(API, SHOP, State.OPEN)
    world.see(metadata, PAY, State.OPEN)  # on another node: another metadata service
    world.see(metadata, SHOP, State.FILTERED)
    assert world.verdict(metadata, SHOP) is Verdict.UNPROVEN
    world.see(metadata, same_node, State.OPEN)
    assert world.verdict(metadata, SHOP) is Verdict.BLOCKED


def test_a_node_over_ssh_is_the_node_that_its_spec_names() -> None:
    metadata = endpoint("metadata", component="cloud-metadata", host="169.254.169.254", port=80, scope=Scope.NODE)
    over_ssh = vantage("node:n1", cluster="prod")  # no pod that tells where it runs
    world = World(API, metadata, SHOP, PAY, over_ssh)
    for pod in (SHOP, PAY):
        world.see(API, pod, State.OPEN)
        world.see(metadata, pod, State.FILTERED)
    world.see(metadata, over_ssh, State.OPEN)
    assert world.verdict(metadata, SHOP) is Verdict.BLOCKED
    assert world.verdict(metadata, PAY) is Verdict.UNPROVEN


def test_two_certificates_at_one_private_address_are_two_targets() -> None:
    target = endpoint("api", component="kube-apiserver", host="10.0.0.1")
    world = World(API, target, SHOP, PAY, OPS)
    world.see(API, SHOP, State.OPEN)
    world.see(target, OPS, State.OPEN, certificate="aa")
    world.see(target, PAY, State.OPEN, certificate="bb")
    world.see(target, SHOP, State.FILTERED)
    assert world.verdict(target, SHOP) is Verdict.UNPROVEN
    assert "different-target" in {finding.code for finding in world.of(target, PAY).findings}


@pytest.mark.parametrize(
    ("posture", "layer", "depth"),
    [
        (Posture.AUTH_REQUIRED, Predicted.DENY, 1),
        (Posture.CLIENT_CERT_REQUIRED, Predicted.DENY, 1),
        (Posture.FORBIDDEN, Predicted.DENY, 1),
        (Posture.ANONYMOUS, Predicted.ALLOW, 0),
        (Posture.TLS, Predicted.UNKNOWN, 0),
        (Posture.UNKNOWN, Predicted.UNKNOWN, 0),
    ],
)
def test_in_an_open_cell_authentication_alone_is_left(posture: Posture, layer: Predicted, depth: int) -> None:
    world = World(API, OPS)
    world.see(API, OPS, State.OPEN, posture=posture)
    judgement = world.of(API, OPS).judgement
    assert (judgement.layers[0].verdict, judgement.depth) == (layer, depth)
    assert judgement.depth_max == depth + (layer is Predicted.UNKNOWN)


def test_a_proven_block_that_nothing_explains_has_depth_one() -> None:
    world = proven()
    world.see(world.db, SHOP, State.FILTERED)
    judgement = world.of(world.db, SHOP).judgement
    assert judgement.depth == 1
    assert judgement.depth_max == 2


def test_served_anonymously_is_critical() -> None:
    world = World(API, SHOP)
    world.see(API, SHOP, State.OPEN, posture=Posture.ANONYMOUS)
    (finding,) = world.of(API, SHOP).findings
    assert finding.severity is Severity.CRITICAL


def test_a_proof_once_shown_stays_though_its_sightings_are_dropped() -> None:
    world = proven()
    world.see(world.db, SHOP, State.FILTERED, at=1)
    for turn in range(1, 20):
        world.see(world.db, OPS, State.OPEN, at=1 + 30 * turn, posture=Posture.PLAIN if turn % 2 else Posture.TLS)
    world.see(world.db, PAY, State.CLOSED, at=700)
    assert world.verdict(world.db, SHOP) is Verdict.BLOCKED


STATES = [State.OPEN, State.CLOSED, State.FILTERED, State.OPEN_FILTERED, State.ERROR, State.LOST]
events = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.sampled_from([0, 1, 2]),
        st.sampled_from(STATES),
        st.floats(0, 40),
        st.integers(1, 2),
    ),
    max_size=25,
)


@given(events, st.sampled_from(["", "blocked", "reachable"]))
def test_blocked_always_has_its_proof_and_every_cell_one_verdict(story: list, declared: str) -> None:
    """Whatever happens: "blocked" only over an answer that is closed or filtered, with both controls, twice asked."""
    targets = (endpoint("one", declared=declared), endpoint("two", port=80))
    sources = (SHOP, PAY, OPS)
    world = World(*targets, *sources)
    at = 0.0
    last: dict[CellKey, tuple[State, int]] = {}
    for target, source, state, later, attempts in story:
        at += later
        world.see(targets[target], sources[source], state, at=at, attempts=attempts)
        last[CellKey(targets[target].id, sources[source].id)] = (state, attempts)
    for key, outcome in world.outcomes.items():
        judgement = outcome.judgement
        state, attempts = last[key]
        if judgement.verdict is Verdict.BLOCKED:
            assert judgement.proof.vantage_alive
            assert judgement.proof.target_alive
            assert state in {State.CLOSED, State.FILTERED}
            assert state is State.CLOSED or attempts == 2
        if state is State.OPEN:
            assert judgement.verdict in {Verdict.EXPOSED, Verdict.REACHABLE}
        assert all(finding.because and finding.verify and finding.remedy for finding in outcome.findings)
        assert (judgement.depth is None) == (judgement.verdict in {Verdict.LOST, Verdict.UNTESTED})


@given(events)
@example(
    # Two targets that both fell silent from one vantage must not call for each other.
    [(0, 0, State.OPEN, 0, 2), (0, 1, State.OPEN, 0, 2), (1, 1, State.OPEN, 0, 2), (0, 0, State.OPEN, 10, 2),
     (0, 1, State.FILTERED, 20, 2), (1, 1, State.FILTERED, 1, 2)]
)  # fmt: skip
def test_asking_for_controls_comes_to_an_end(story: list) -> None:
    """Answer every want with the cell's last state: after a few rounds nothing is wanted any more."""
    targets, sources = (endpoint("one"), endpoint("two", port=80)), (SHOP, PAY, OPS)
    world = World(*targets, *sources)
    at, last = 0.0, {}
    for target, source, state, later, _ in story:
        at += later
        key = CellKey(targets[target].id, sources[source].id)
        world.see(targets[target], sources[source], state, at=at)
        last[key] = state
    for _ in range(8):
        wants = {want.key for key in world.outcomes for want in world.judge.judge(key).wants}
        if not wants:
            return
        at += 6
        for number, key in enumerate(sorted(wants)):
            world.see(world.endpoints[key.endpoint], world.vantages[key.vantage], last[key], at=at + number / 100)
    pytest.fail(f"still wanted after 8 rounds: {wants}")


def test_every_combination_of_must_and_state_has_one_verdict() -> None:
    for must, state, twice in itertools.product(("", "blocked", "reachable"), STATES, (1, 2)):
        world = proven(must)
        world.see(world.db, SHOP, state, attempts=twice)
        assert world.verdict(world.db, SHOP) in Verdict


def test_a_vantage_that_is_not_ready_is_not_wanted_as_control() -> None:
    gone = vantage("ssh:gone", status=VantageStatus.LOST)
    world = World(API, DB, SHOP, gone)
    world.see(DB, gone, State.OPEN)
    world.see(DB, SHOP, State.FILTERED, at=60)
    assert world.of(DB, SHOP).wants == ()


def test_what_was_seen_open_by_a_vantage_that_is_lost_since_is_not_said_to_be_dead() -> None:
    world = World(DB, SHOP, OPS)
    world.see(DB, OPS, State.OPEN)
    world.vantages[OPS.id] = replace(OPS, status=VantageStatus.LOST)
    for at in (WINDOW + 100, WINDOW + 110):
        world.see(DB, SHOP, State.CLOSED, at)
    assert world.verdict(DB, SHOP) is Verdict.UNPROVEN
    assert "can't be asked again" in world.of(DB, SHOP).judgement.sentence
