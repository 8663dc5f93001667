"""Selectors in three values: what is not known is said, and the cell is held to the strictest that may be declared."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from kubeshield_tui.discovery.catalogue import builtin
from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.judgement.review import never_decide, review
from kubeshield_tui.model.cluster import Backend, BackendRecord, ClusterFacts, Inventory
from kubeshield_tui.model.endpoint import Endpoint, PodRef, Protocol
from kubeshield_tui.model.expectation import DeclaredLine, LineKind, Must, Severity
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Posture, State
from kubeshield_tui.model.vantage import Vantage, Zone, parse_vantage
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.settings.expect_file import parse_expectations
from tests.unit.declare import (
    API,
    CART,
    CART_POD,
    DB,
    ENDPOINTS,
    ETCD,
    HERE,
    IN_PAYMENTS,
    IN_SHOP,
    KUBELET,
    NOW,
    OUTSIDE,
    PODS,
    VANTAGES,
    WEB,
    WEB_POD,
    component,
    declare,
    inventory,
    pod,
    rule,
    service,
    waive,
)  # fmt: skip
from tests.unit.estate import answer, vantage

READ = {"prod": inventory()}
UNREAD = {"prod": inventory(pods=())}


API_SLICE = BackendRecord(
    namespace="default", name="kubernetes", service="kubernetes", backends=(Backend(address="10.0.0.12"),)
)
SERVED_BY_N2 = {"prod": inventory(backends=(API_SLICE,))}
STATIC = replace(pod("kube-system", "etcd-n2", node="n2", tier="control-plane", component="etcd"), host_network=True)
UNLISTED = {"prod": inventory(nodes=(), pods=(*PODS, STATIC))}


def node_vantage(name: str) -> Vantage:
    return replace(vantage(f"node:{name}"), cluster="prod")


def behind(name: str) -> Endpoint:
    """A Service without a selector: its slices name the pod."""
    return replace(DB, backends=(PodRef(namespace="payments", name=name),))


def matched(text: str, to: Endpoint, by: Vantage, clusters: Any = READ) -> bool | str:
    """Whether the one rule of a text speaks of a cell; why it can't be told. The rule must say what none else does."""
    expectation = declare(text, clusters).expect(to, by)
    if expectation.undecided:
        (why,) = expectation.undecided
        return why.partition('": ')[2]
    return expectation.source == 'expect.toml:1 "it"'


@pytest.mark.parametrize(
    ("selectors", "to", "by", "expected"),
    [
        ({"to__component": '"kube*"'}, API, HERE, True),
        ({"to__component": '["etcd", "kubelet"]'}, API, HERE, False),
        ({"to__where": '"control-plane"'}, ETCD, HERE, True),
        ({"to__where": '"control-plane"'}, API, HERE, False),
        ({"to__unauthenticated": "true"}, component("kubelet-read-only"), HERE, True),
        ({"to__unauthenticated": "true"}, KUBELET, HERE, False),
        ({"to__unauthenticated": "false"}, KUBELET, HERE, True),
        ({"to__namespace": '"*"'}, WEB, HERE, True),
        ({"to__namespace": '"*"'}, API, HERE, False),  # what has no namespace is in none
        ({"to__name": '"web"'}, WEB, HERE, True),
        ({"to__name": '"Service/w?b"'}, WEB, HERE, True),
        ({"to__name": '"we"'}, WEB, HERE, False),
        ({"to__port": '[22, "440-450"]'}, WEB, HERE, True),
        ({"to__port": '"1-442"'}, WEB, HERE, False),
        ({"to__protocol": '"udp"'}, WEB, HERE, False),
        ({"to__protocol": '"udp"'}, replace(WEB, protocol=Protocol.UDP), HERE, True),
        ({"to__cluster": '"pr*"'}, WEB, HERE, True),
        ({"to__group": '"payments"'}, DB, HERE, True),
        ({"to__address": '"10.96.0.0/16"'}, WEB, HERE, True),
        ({"to__address": '"10.97.0.0/16"'}, WEB, HERE, False),
        ({"to__address": '"::1"'}, replace(WEB, host="0:0:0:0:0:0:0:1"), HERE, True),
        ({"to__address": '"*.example.org"'}, replace(WEB, host="db.example.org"), HERE, True),
        ({"to__address": '"10.0.0.0/8"'}, replace(WEB, host="db.example.org"), HERE, "db.example.org is a name"),
        ({"from__kind": '["pod", "node"]'}, WEB, WEB_POD, True),
        ({"from__kind": '"pod"'}, WEB, HERE, False),
        ({"from__name": '"pod:shop/web-*"'}, WEB, WEB_POD, True),
        ({"from__name": '"pod:shop"'}, WEB, WEB_POD, False),
        ({"from__namespace": '"shop"'}, WEB, node_vantage("n1"), False),  # a node is in no namespace
        ({"from__cluster": '"prod"'}, WEB, WEB_POD, True),
        ({"from__cluster": '"prod"'}, WEB, HERE, False),
        ({"from__same_namespace": "true"}, WEB, WEB_POD, True),
        ({"from__same_namespace": "true"}, WEB, IN_PAYMENTS, False),
        ({"from__same_namespace": "false"}, WEB, IN_PAYMENTS, True),
        ({"from__same_namespace": "true"}, replace(WEB, cluster="other"), WEB_POD, False),
        ({"from__same_cluster": "true"}, WEB, HERE, False),
        ({"from__same_cluster": "false"}, replace(WEB, cluster="other"), WEB_POD, True),
        ({"from__same_cluster": "true"}, replace(WEB, cluster=""), WEB_POD, "which cluster this target is in"),
    ],
)
def test_selectors(selectors: dict[str, str], to: Endpoint, by: Vantage, expected: bool | str) -> None:
    answered = matched(rule("it", "reachable", **selectors), to, by)
    assert answered is expected if isinstance(expected, bool) else expected in str(answered)


@pytest.mark.parametrize(
    ("selectors", "to", "by", "clusters", "expected"),
    [
        ({"from__labels.app": '"web"'}, API, WEB_POD, READ, True),
        ({"from__labels.app": '["x", "w*"]'}, API, WEB_POD, READ, True),
        ({"from__labels.tier": '"*"'}, API, CART_POD, READ, False),
        ({"from__labels.app": '"web"'}, API, WEB_POD, UNREAD, "labels of pod:shop/web-0"),
        ({"from__labels.app": '"web"'}, API, WEB_POD, {}, "labels of pod:shop/web-0"),
        ({"from__labels.app": '"web"'}, API, HERE, {}, False),  # no pod has no labels, that is known
        ({"from__labels.app": '"web"'}, API, IN_SHOP, {}, False),  # ours has its own
        ({"from__labels": '{ "app.kubernetes.io/managed-by" = "kubeshield" }'}, API, IN_SHOP, {}, True),
        ({"from__service_account": '"robot"'}, API, CART_POD, READ, True),
        ({"from__service_account": '"robot"'}, API, CART_POD, UNREAD, "service account of pod:shop/cart-0"),
        ({"from__service_account": '"default"'}, API, IN_SHOP, {}, True),
        ({"from__service_account": '"*"'}, API, HERE, {}, False),
        ({"from__node": '"n1"'}, API, WEB_POD, READ, True),
        ({"from__node": '"n1"'}, API, WEB_POD, UNREAD, "node of pod:shop/web-0"),
        ({"from__node_role": '"control-plane"'}, API, node_vantage("n1"), READ, True),
        ({"from__node_role": '"*"'}, API, node_vantage("n2"), READ, False),
        ({"from__node_role": '"control-plane"'}, API, node_vantage("n1"), {}, "node n1 was not read"),
        ({"from__node_role": '"control-plane"'}, API, HERE, {}, False),
        ({"from__node_role": '"control-plane"'}, API, node_vantage("n2"), SERVED_BY_N2, True),  # no label says so
        ({"from__node_role": '"control-plane"'}, API, node_vantage("n2"), UNLISTED, True),
        ({"from__node_role": '"worker"'}, API, node_vantage("n2"), UNLISTED, "node n2 was not read"),
        ({"from__node_role": '"control-plane"'}, API, node_vantage("n1"), UNLISTED, "node n1 was not read"),
        ({"to__labels.app": '"web"'}, WEB, HERE, READ, True),
        ({"to__labels.team": '"front"'}, WEB, HERE, READ, True),  # the Service's own
        ({"to__labels.tier": '"front"'}, WEB, HERE, READ, True),  # only the pod has it
        ({"to__labels.tier": '"front"'}, CART, HERE, READ, False),
        ({"to__labels.app": '"web"'}, WEB, HERE, UNREAD, True),  # the selector says it of any pod behind
        ({"to__labels.tier": '"front"'}, WEB, HERE, UNREAD, "no pod of namespace shop was read"),
        ({"to__labels.tier": '"front"'}, WEB, HERE, {}, "cluster prod was not read"),
        ({"to__labels.tier": '"front"'}, replace(API, object=""), HERE, {}, False),
        (
            {"to__labels.tier": '"x"'},
            behind("db-0"),
            HERE,
            READ,
            False,
        ),
        (
            {"to__labels.tier": '"x"'},
            behind("db-9"),
            HERE,
            READ,
            "pods behind",
        ),
        ({"to__labels.tier": '"x"'}, service("unheard-of"), HERE, READ, "Service shop/unheard-of was not read"),
    ],
)
def test_facts_that_are_missing_are_no_no(
    selectors: dict[str, str], to: Endpoint, by: Vantage, clusters: Any, expected: bool | str
) -> None:
    answered = matched(rule("it", "reachable", **selectors), replace(to, component="service"), by, clusters)
    assert answered is expected if isinstance(expected, bool) else expected in str(answered)


@pytest.mark.parametrize(
    ("sure", "unsure", "must"),
    [
        ("any", "blocked", Must.BLOCKED),
        ("blocked", "any", Must.BLOCKED),
        ("any", "reachable", Must.REACHABLE),
        ("reachable", "blocked", Must.BLOCKED),
        ("blocked", "reachable", Must.BLOCKED),
    ],
)
def test_an_undecided_cell_is_held_to_the_strictest(sure: str, unsure: str, must: Must) -> None:
    text = rule("all", sure, to__component='"service"') + rule("some", unsure, **{"from__labels.app": '"web"'})
    expectation = declare(text, UNREAD).expect(WEB, WEB_POD)
    assert expectation.must is must
    assert expectation.undecided == ('expect.toml:5 "some": labels of pod:shop/web-0 are not known',)


def test_what_is_undecided_but_says_the_same_is_no_doubt() -> None:
    text = rule("all", "blocked", to__component='"service"', severity='"low"')
    text += rule("some", "blocked", **{"from__labels.app": '"web"'}, severity='"critical"')
    expectation = declare(text, UNREAD).expect(WEB, WEB_POD)
    assert (expectation.must, expectation.undecided) == (Must.BLOCKED, ())
    assert expectation.severity is Severity.CRITICAL


def test_a_later_line_that_is_sure_settles_what_is_not() -> None:
    text = rule("some", "blocked", **{"from__labels.app": '"web"'}) + rule("all", "any", to__component='"service"')
    assert declare(text, UNREAD).expect(WEB, WEB_POD).source == 'expect.toml:5 "all"'


def test_etcd_is_for_control_plane_nodes_of_its_own_cluster() -> None:
    expectations = declare("", {"prod": inventory(), "other": Inventory(cluster=ClusterFacts(id="other", server=""))})
    etcd = replace(ETCD, cluster="prod")
    musts = {name: expectations.expect(etcd, node_vantage(name)).must for name in ("n1", "n2", "n3")}
    assert musts == {"n1": Must.ANY, "n2": Must.BLOCKED, "n3": Must.BLOCKED}
    assert expectations.expect(etcd, node_vantage("n3")).undecided  # its node was not read
    assert expectations.expect(replace(etcd, cluster="other"), node_vantage("n1")).must is Must.BLOCKED


def test_a_host_that_is_said_to_be_a_node_is_known_by_its_address() -> None:
    expectations = declare("", READ)
    by_ssh = {
        number: replace(
            vantage("ssh:there", Zone.NODE, addresses=(f"10.0.0.{number}",)), spec=parse_vantage(f"ssh:host{number}")
        )
        for number in (11, 12, 99)
    }
    by_ssh = {number: replace(each, id=each.spec.id) for number, each in by_ssh.items()}
    assert expectations.expect(ETCD, by_ssh[11]).must is Must.ANY
    worker = expectations.expect(ETCD, by_ssh[12])
    assert (worker.must, worker.undecided) == (Must.BLOCKED, ())
    assert expectations.expect(ETCD, by_ssh[99]).undecided


@pytest.mark.parametrize("row", builtin().rows, ids=lambda row: row.component)
def test_the_baseline_speaks_of_every_component_of_the_catalogue(row: Any) -> None:
    """From outside nothing of it may be reached, but for metadata, which is nowhere from there; ports that ask nobody
    who they are not even by administrators."""
    target = component(row.component)
    outside = declare("").expect(target, OUTSIDE)
    if row.where != "metadata":
        assert (outside.must, outside.severity) == (Must.BLOCKED, row.severity_outside)
    inside = declare("").expect(target, IN_SHOP)
    assert inside.must is Must.ANY or inside.severity is row.severity_inside
    closed_to_all = row.unauthenticated or row.component in {"etcd", "etcd-peer"}
    assert (declare("").expect(target, HERE).must is Must.BLOCKED) == closed_to_all


def test_serving_strangers_is_critical_where_it_gives_control_and_graded_where_it_is_what_is_graded() -> None:
    assert declare("").expect(KUBELET, IN_SHOP).severity_anonymous is Severity.CRITICAL
    metrics = declare("").expect(component("kube-state-metrics"), OUTSIDE)
    assert metrics.severity_anonymous is metrics.severity is Severity.MEDIUM


# --- facts that come late


def test_cells_are_judged_anew_when_the_cluster_tells_what_was_missing() -> None:
    clusters: dict[str, Inventory] = {}
    text = rule("web may", "any", to__component='"kube-apiserver"', **{"from__labels.app": '"web"'})
    things = {each.id: each for each in ENDPOINTS}, {each.id: each for each in VANTAGES}
    judge = Judge(*things, declare(text, clusters))
    for by in (WEB_POD, CART_POD, HERE):
        judge.tell(answer(CellKey(API.id, by.id), NOW, State.OPEN, posture=Posture.FORBIDDEN))
    before, _ = (judge.judge(CellKey(API.id, by.id)) for by in (WEB_POD, CART_POD))
    assert before is not None
    assert before.judgement.verdict is Verdict.EXPOSED
    assert any("labels of pod:shop/web-0 are not known" in line for line in before.findings[0].because)
    clusters["prod"] = inventory()
    assert set(judge.refresh(NOW)) == {CellKey(API.id, WEB_POD.id), CellKey(API.id, CART_POD.id)}
    after = [judge.judge(CellKey(API.id, by.id)) for by in (WEB_POD, CART_POD)]
    assert [each.judgement.verdict for each in after if each] == [Verdict.REACHABLE, Verdict.EXPOSED]
    assert judge.refresh(NOW) == ()


def test_an_endpoint_whose_pods_changed_is_judged_anew() -> None:
    clusters = {"prod": inventory(pods=(pod("shop", "web-0", app="web"),))}
    text = rule("front", "blocked", **{"to__labels.tier": '"front"'})
    things = {each.id: each for each in ENDPOINTS}, {each.id: each for each in VANTAGES}
    judge = Judge(*things, declare(text, clusters))
    judge.tell(answer(CellKey(WEB.id, HERE.id), NOW, State.OPEN))
    assert judge.judge(CellKey(WEB.id, HERE.id)).judgement.verdict is Verdict.REACHABLE  # type: ignore[union-attr]
    clusters["prod"] = inventory()
    assert judge.refresh(NOW) == (CellKey(WEB.id, HERE.id),)
    assert judge.judge(CellKey(WEB.id, HERE.id)).judgement.verdict is Verdict.EXPOSED  # type: ignore[union-attr]


# --- what is said of lines


def reviewed(text: str, clusters: Any = READ) -> dict[str, DeclaredLine]:
    lines = review(declare(text, clusters), ENDPOINTS, VANTAGES)
    return {line.name: line for line in lines}


def test_lines_that_decide_nothing_are_said() -> None:
    text = rule("typo", "blocked", to__namespace='"shp"')
    text += rule("early", "blocked", to__namespace='"shop"', from__kind='"pod"')
    text += rule("twin", "any", to__namespace='"shop"')
    text += rule("same", "any", to__name='"web"')
    text += waive("gone", "2020-01-01", to__component='"etcd"')
    lines = reviewed(text)
    assert lines["typo"].notes == ("unused: it speaks of no endpoint and vantage of this run",)
    assert lines["early"].notes == ('overruled in all its 8 cells by expect.toml:14 "same", expect.toml:10 "twin"',)
    assert (lines["twin"].matched, lines["twin"].decided, lines["twin"].notes) == (12, 6, ())
    assert lines["same"].notes == ()
    assert lines["gone"].notes == ("expired on 2020-01-01: it holds no longer; us renews or removes it",)


def test_a_file_that_switches_the_baseline_off_is_said() -> None:
    lines = reviewed(rule("whatever", "any", to__component='"*"'))
    api = lines["API unreachable from outside and from ordinary pods"]
    assert api.kind is LineKind.BASELINE
    assert api.notes == ('overruled in all its 5 cells by expect.toml:1 "whatever"',)
    assert reviewed("")["etcd reachable from control-plane nodes only"].notes == ()


def test_needless_lines_are_told_from_contradicted_ones() -> None:
    text = rule("a", "any", to__name='"web"') + rule("b", "any", to__namespace='"shop"')
    assert reviewed(text)["a"].notes == ('needless: later lines say the same of all its 6 cells by expect.toml:5 "b"',)


def test_what_can_not_be_decided_is_neither_unused_nor_passed_over() -> None:
    robot = {"to__component": '"kubelet"', "from__name": '"pod:*/*"', "from__service_account": '"robot"'}
    assert reviewed(rule("as it is", "blocked", **robot), UNREAD)["as it is"].notes == ()
    (note,) = reviewed(rule("other", "any", **robot), UNREAD)["other"].notes
    assert note.startswith("not decidable for 2 cells")
    assert "service account of pod:shop/web-0" in note


def test_a_rule_that_can_never_decide_is_told_from_the_text_alone() -> None:
    text = rule("narrow", "any", to__name='"web"', to__port="443") + rule("other", "any", to__name='"db"')
    text += rule("wide", "blocked", to__name='"web"')
    declared = parse_expectations(text, "e.toml", "e.toml")
    assert list(never_decide(declared.rules)) == [
        'e.toml:1 "narrow": never decides: e.toml:10 "wide" speaks of all that it does and comes later'
    ]
