"""Seeded worlds on a real cluster with its nodes read over SSH: verdict, decider and depth of each way to be closed.

And what is said to open when a layer is left out in the model is what opens when it is really switched off.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from kubeshield_tui.judgement.chain import FIREWALLS, POLICIES
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Judgement, Verdict
from tests.cluster import kit
from tests.cluster.worlds import (
    FRIEND,
    HOST,
    HOST_PORT,
    NODE1,
    NODE2,
    PORTS,
    SPACE,
    STRANGER,
    TABLE,
    Estate,
    World,
    audited,
    estate,
    fenced,
    masqueraded,
)

pytestmark = pytest.mark.timeout(600)
SETTLED_SECONDS = 62.0
"""After that long a policy is old enough to be held to."""
ALLOW, DENY = Predicted.ALLOW, Predicted.DENY


class Worlds(NamedTuple):
    """The estate as it is, with enforcement off, and without the node's firewall."""

    made: Estate
    whole: World
    unenforced: World
    flushed: World


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    folder = tmp_path_factory.mktemp("worlds")
    with estate(folder) as made, masqueraded(made):
        begun = time.monotonic()
        with fenced(made):
            time.sleep(2)  # enforcer and kube-proxy look once a second
            whole = audited(folder, made)
            time.sleep(max(0.0, SETTLED_SECONDS - (time.monotonic() - begun)))
            with ExitStack() as stack:
                stack.callback(kit.kit, "policy", "on")
                kit.kit("policy", "off")
                unenforced = audited(folder, made)
        time.sleep(2)
        yield Worlds(made, whole, unenforced, audited(folder, made))


def told(judgement: Judgement) -> tuple[Verdict, Predicted, str, str, int | None]:
    """Verdict, prediction and its layer, comparison, depth."""
    prediction = judgement.prediction
    return judgement.verdict, prediction.verdict, prediction.layer, judgement.comparison.code, judgement.depth


def layer(judgement: Judgement, name: str) -> tuple[Predicted, str, tuple[str, ...]]:
    """The last of that name: what it says, who decides, what bears on it."""
    found = [each for each in judgement.layers if each.layer == name][-1]
    return found.verdict, found.decider, found.refs


def says_all(finding: Finding) -> bool:
    """Whether it says why, how to see it and what to do."""
    return bool(finding.because and finding.verify and finding.remedy)


def test_a_policy_that_is_enforced(worlds: Worlds) -> None:
    seen, judged = worlds.whole.seen(worlds.made.place("walled", 8080), STRANGER)
    assert (seen.state, seen.reason) == (State.FILTERED, Reason.NO_RESPONSE)
    assert told(judged) == (Verdict.BLOCKED, DENY, "ingress-policy", "agrees", 1)
    assert judged.prediction.decider == f"isolated by NetworkPolicy {SPACE}/walled, no rule allows it"
    assert judged.proof.target_alive
    assert judged.proof.vantage_alive
    assert judged.next_decider == "nothing: it would be open"
    assert worlds.whole.findings(worlds.made.place("walled", 8080), STRANGER) == {}
    friend = worlds.whole.seen(worlds.made.place("walled", 8080), FRIEND)[1]
    assert told(friend) == (Verdict.REACHABLE, ALLOW, "", "agrees", 0)
    assert layer(friend, "ingress-policy")[1] == f"NetworkPolicy {SPACE}/walled ingress[0] allows it"


def test_a_policy_that_nobody_enforces(worlds: Worlds) -> None:
    place = worlds.made.place("walled", 8080)
    judged = worlds.unenforced.seen(place, STRANGER)[1]
    assert told(judged) == (Verdict.EXPOSED, DENY, "ingress-policy", "not-enforced", 0)
    assert f"{SPACE}/walled" in judged.prediction.decider
    found = worlds.unenforced.findings(place, STRANGER)
    assert set(found) == {"exposed", "not-enforced"}
    assert found["not-enforced"].severity == "critical"
    assert f"{SPACE}/walled" in found["not-enforced"].title
    assert any(f"-n {SPACE} get networkpolicy walled" in each for each in found["not-enforced"].verify)
    assert all(map(says_all, found.values()))


@pytest.mark.parametrize(("port", "state", "reason", "rule"), [
    (8080, State.FILTERED, Reason.NO_RESPONSE, "tcp dport 8080 drop"),
    (9090, State.FILTERED, Reason.ADMIN_PROHIBITED, "tcp dport 9090 reject with icmp admin-prohibited"),
    (7070, State.CLOSED, Reason.CONN_REFUSED, "tcp dport 7070 reject with tcp reset"),
])  # fmt: skip
def test_a_node_closes_what_the_policy_allows_by_drop_or_reject(
    worlds: Worlds, port: int, state: State, reason: Reason, rule: str
) -> None:
    seen, judged = worlds.whole.seen(worlds.made.place("fenced", port), STRANGER)
    assert (seen.state, seen.reason) == (state, reason)
    assert told(judged) == (Verdict.BLOCKED, DENY, "node-firewall", "agrees", 1)
    assert layer(judged, "ingress-policy")[0] is ALLOW
    verdict, decider, refs = layer(judged, "node-firewall")
    assert verdict is DENY
    assert decider.startswith(f"inet {TABLE} forward rule {PORTS.index(port) + 1} (handle ")
    assert rule in decider
    assert refs[0] == "host:node2"
    assert refs[1].startswith(f"rule:node2/inet/{TABLE}/forward/")
    assert judged.next_decider == "nothing: it would be open"
    assert told(worlds.whole.seen(worlds.made.place("fenced", port), FRIEND)[1])[0] is Verdict.REACHABLE


def test_two_walls_are_two_deep(worlds: Worlds) -> None:
    judged = worlds.whole.seen(worlds.made.place("walled", 9090), STRANGER)[1]
    assert told(judged) == (Verdict.BLOCKED, DENY, "node-firewall", "agrees", 2)
    assert f"{SPACE}/walled" in judged.next_decider


def test_nothing_listens(worlds: Worlds) -> None:
    place = worlds.made.place("svc/idle", 80)
    seen, judged = worlds.whole.seen(place, STRANGER)
    assert seen.reason is Reason.CONN_REFUSED
    assert told(judged) == (Verdict.DEAD, ALLOW, "", "nothing-listens", 0)
    (finding,) = worlds.whole.findings(place, STRANGER).values()
    assert finding.code == "nothing-listens"
    assert says_all(finding)
    pod = worlds.whole.seen(worlds.made.place("idle", 8080), STRANGER)[1]
    assert told(pod) == (Verdict.DEAD, ALLOW, "", "agrees", 0)  # nobody said that something listens there


def test_a_node_gives_a_pod_its_address_and_lets_it_through_an_ip_block(worlds: Worlds) -> None:
    straight = worlds.whole.seen(worlds.made.place("ledger", 8080), STRANGER)[1]
    assert told(straight) == (Verdict.BLOCKED, DENY, "ingress-policy", "agrees", 1)
    place = f"{NODE2}:{worlds.made.node_port}"
    seen, judged = worlds.whole.seen(place, STRANGER)
    assert seen.state is State.OPEN
    assert told(judged) == (Verdict.EXPOSED, ALLOW, "", "agrees", 0)
    decider = layer(judged, "ingress-policy")[1]
    assert decider == f"as {NODE1}: NetworkPolicy {SPACE}/ledger ingress[0] allows it"
    found = worlds.whole.findings(place, STRANGER)
    assert set(found) == {"exposed"}
    assert says_all(found["exposed"])
    assert any(decider in each for each in found["exposed"].because)


def test_policies_do_not_hold_for_the_hosts_network(worlds: Worlds) -> None:
    place = f"{NODE2}:{HOST_PORT}"
    seen, judged = worlds.whole.seen(place, STRANGER)
    assert seen.state is State.OPEN  # though a policy denies all
    assert told(judged) == (Verdict.REACHABLE, ALLOW, "", "agrees", 0)
    assert worlds.whole.findings(place, STRANGER) == {}
    # And the other way about: a pod in the host's network is its node, which reaches its own pods.
    own = worlds.whole.seen(worlds.made.place("walled", 8080), HOST)[1]
    assert told(own) == (Verdict.REACHABLE, ALLOW, "", "agrees", 0)
    assert "a pod's own node always reaches it" in layer(own, "ingress-policy")[1]


def test_a_service_without_endpoints(worlds: Worlds) -> None:
    place = worlds.made.place("svc/empty", 80)
    seen, judged = worlds.whole.seen(place, STRANGER)
    assert (seen.state, seen.reason) == (State.FILTERED, Reason.PORT_UNREACH)
    assert told(judged) == (Verdict.BROKEN, DENY, "source-firewall", "compatible", 0)
    assert "has no endpoints" in judged.prediction.decider
    assert judged.listener == "0 of 0 backends ready"
    (finding,) = worlds.whole.findings(place, STRANGER).values()
    assert finding.code == "broken"
    assert any("has no endpoints" in each for each in finding.because)
    assert says_all(finding)


def test_a_firewall_drops_only_the_replies(worlds: Worlds) -> None:
    seen, judged = worlds.whole.seen(worlds.made.place("mute", 8080), STRANGER)
    assert (seen.state, seen.reason) == (State.FILTERED, Reason.NO_RESPONSE)
    assert told(judged) == (Verdict.BLOCKED, DENY, "node-firewall", "agrees", 1)
    assert f"inet {TABLE} forward rule 5 (handle " in judged.prediction.decider
    assert "tcp sport 8080 drop" in judged.prediction.decider
    assert told(worlds.whole.seen(worlds.made.place("mute", 8080), FRIEND)[1])[0] is Verdict.REACHABLE


class Outcome(NamedTuple):
    """Cells by what was said of them, and by what came."""

    said: set[CellKey]
    unknown: set[CellKey]
    opened: set[CellKey]
    cells: int


def is_closed_by_kube_proxy(world: World, key: CellKey) -> bool:
    """Whether what denies on a host is no firewall: a Service has nobody behind it, or nobody on this node."""
    judgement = world.store.cell(key).judgement
    layers = judgement.layers if judgement is not None else ()
    return any(each.layer in FIREWALLS and each.verdict is DENY and "filter KUBE-" in each.decider for each in layers)


def outcome(before: World, after: World, left_out: frozenset[str]) -> Outcome:
    """Hold what was said to open without something to what opened when it was gone."""
    found = Outcome(set(), set(), set(), 0)
    cells = 0
    for key in before.store.cells:
        imagined = before.session.chains.imagine(key, left_out)
        was, is_ = before.store.cell(key).observation, after.store.cells.get(key)
        foreign = "kst-" in key.endpoint and SPACE not in key.endpoint  # of another test, which changes its rules
        if (
            foreign
            or imagined is None
            or was is None
            or is_ is None
            or is_.observation is None
            or was.state is State.ERROR
        ):
            continue
        if left_out == FIREWALLS and is_closed_by_kube_proxy(before, key):
            continue  # its rules stay
        cells += 1
        if imagined.opens:
            found.said.add(key)
        if imagined.opens is None:
            found.unknown.add(key)
        if State.OPEN in {is_.observation.state} - {was.state}:
            found.opened.add(key)
    return found._replace(cells=cells)


@pytest.mark.parametrize(("left_out", "at_least"), [(POLICIES, 20), (FIREWALLS, 4)])
def test_what_is_said_to_open_without_a_layer_is_what_opens(
    worlds: Worlds, left_out: frozenset[str], at_least: int
) -> None:
    after = worlds.unenforced if left_out == POLICIES else worlds.flushed
    said, unknown, opened, cells = outcome(worlds.whole, after, left_out)
    print(f"{cells} cells: {len(said)} said to open, {len(unknown)} not known, {len(opened)} opened")
    assert said <= opened, said - opened
    assert opened <= said | unknown, opened - said - unknown
    assert len(said) >= at_least
    assert len(unknown) <= cells // 20
