"""Who a cell's two ends are to policies, and a World that follows the session's events."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.cluster.resources import policy_record
from kubeshield_tui.evidence.netpol.explain import evaluate
from kubeshield_tui.evidence.netpol.verdict import Verdict
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Denied, Inventory, NamespaceRecord
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.session.flows import flow_of
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from tests.unit.estate import answer, endpoint, vantage
from tests.unit.policed import (
    API,
    API_FROM_WEB,
    AT,
    DENY_ALL,
    KUBELET,
    METADATA,
    N1,
    OPS,
    POD,
    WEB,
    estate,
    inventory,
    own_pod,
)


def verdict(store: Store, target: Endpoint, source: Vantage, worlds: Worlds | None = None) -> Verdict:
    worlds = worlds or Worlds(store)
    flow = flow_of(store, worlds, CellKey(target.id, source.id))
    assert flow is not None
    known = worlds.of("prod")
    assert known is not None
    return evaluate(known.world, flow.arriving)


@pytest.mark.parametrize(("target", "source", "says"), [
    (API, WEB, "allow"), (API, OPS, "deny"), (POD, WEB, "allow"), (POD, OPS, "deny"),
    (KUBELET, OPS, "allow"), (METADATA, OPS, "allow"),
])  # fmt: skip
def test_pods_ask_as_what_the_cluster_knows_of_them(target: Endpoint, source: Vantage, says: str) -> None:
    assert verdict(estate(DENY_ALL, API_FROM_WEB), target, source).verdict == says


def test_our_own_pod_has_its_own_labels_wherever_it_is() -> None:
    mine = own_pod("shop", "10.244.2.77", app="web")
    other = own_pod("shop", "10.244.2.77", app="kubeshield-probe")
    assert verdict(estate(DENY_ALL, API_FROM_WEB, vantages=(mine,)), API, mine).verdict == "allow"
    assert verdict(estate(DENY_ALL, API_FROM_WEB, vantages=(other,)), API, other).verdict == "deny"


def test_a_pod_of_which_no_labels_are_known_is_nobody_in_particular() -> None:
    lost = vantage("pod:shop/gone", node="n2")
    told = verdict(estate(DENY_ALL, API_FROM_WEB, vantages=(lost,)), API, lost)
    assert told.verdict == "unknown"
    assert any("labels are not known" in each.text for each in told.assumptions)


def test_a_host_is_the_node_that_its_addresses_say() -> None:
    node, bastion = vantage("ssh:node1", addresses=("10.244.1.1", N1)), vantage("ssh:b", addresses=("192.0.2.7",))
    store = estate(DENY_ALL, vantages=(node, bastion))
    assert verdict(store, POD, node).verdict == "allow"  # a node reaches its own pods, whatever policies say
    assert verdict(store, POD, bastion).verdict == "deny"
    flow = flow_of(store, Worlds(store), CellKey(POD.id, bastion.id))
    assert flow is not None
    assert (flow.source.text, flow.notes) == ("192.0.2.7", ("ssh:b comes as 192.0.2.7, its own address",))


@pytest.mark.parametrize(("addresses", "host", "why"), [
    (("192.0.2.7", "192.0.2.8"), "203.0.113.5", "is not known"),
    (("10.1.1.1",), "8.8.8.8", "private address"),
    ((), "203.0.113.5", "is not known"),
])  # fmt: skip
def test_an_address_that_is_not_known_is_not_guessed(addresses: tuple[str, ...], host: str, why: str) -> None:
    source, target = vantage("ssh:b", addresses=addresses), endpoint("far", host=host)
    store = estate(vantages=(source,))
    store.apply(happened.EndpointFound(at=AT, endpoint=target))
    flow = flow_of(store, Worlds(store), CellKey(target.id, source.id))
    assert flow is not None
    assert flow.source.text == ""
    assert why in flow.notes[0]


def test_an_answer_tells_the_address_it_was_asked_from() -> None:
    source = vantage("ssh:b", addresses=("192.0.2.7", "192.0.2.8"))
    store = estate(vantages=(source,))
    told = replace(answer(CellKey(POD.id, source.id), AT, State.OPEN), source="192.0.2.8")
    store.apply(happened.CellObserved(at=AT, observation=told))
    flow = flow_of(store, Worlds(store), CellKey(POD.id, source.id))
    assert flow is not None
    assert flow.source.text == "192.0.2.8"


@pytest.mark.parametrize(("uids", "target_cluster", "says"), [
    (("u1", "u2"), "prod", "deny"),  # another cluster's pod is an address outside
    (("u1", "u1"), "other", "allow"),  # two contexts that name one cluster
    (("u1", ""), "prod", "unknown"),
])  # fmt: skip
def test_a_visitor_from_another_context_is_who_he_is_if_it_names_the_same_cluster(
    uids: tuple[str, str], target_cluster: str, says: str
) -> None:
    store = estate(DENY_ALL, API_FROM_WEB)
    for name, uid in zip(("prod", "other"), uids, strict=True):
        system = NamespaceRecord(cluster=name, name="kube-system", uid=uid)
        whole = inventory(DENY_ALL, API_FROM_WEB)
        whole = replace(whole, cluster=replace(whole.cluster, id=name), namespaces=(*whole.namespaces, system))
        store.apply(happened.ClusterRead(at=AT, inventory=whole))
    far = vantage("pod:shop/web-0", cluster="other", addresses=("10.244.2.8",))
    store.apply(happened.VantageAdded(at=AT, vantage=far))
    worlds = Worlds(store)
    flow = flow_of(store, worlds, CellKey(API.id, far.id))
    assert flow is not None
    assert (flow.source_cluster, flow.target_cluster) == ("other", target_cluster)
    known = worlds.of(target_cluster)
    assert known is not None
    told = evaluate(known.world, flow.arriving)
    assert told.verdict == says


def test_names_and_loopback_are_no_flow() -> None:
    here, name = endpoint("here", host="127.0.0.1"), endpoint("name", host="db.example.org")
    store = estate()
    for each in (here, name):
        store.apply(happened.EndpointFound(at=AT, endpoint=each))
        assert flow_of(store, Worlds(store), CellKey(each.id, WEB.id)) is None
    told = replace(answer(CellKey(name.id, WEB.id), AT, State.OPEN), peer="198.51.100.4")
    store.apply(happened.CellObserved(at=AT, observation=told))
    flow = flow_of(store, Worlds(store), CellKey(name.id, WEB.id))
    assert flow is not None
    assert flow.destination.text == "198.51.100.4"


# --- worlds


def followed(store: Store, worlds: Worlds, event: happened.Event) -> None:
    store.apply(event)
    worlds.told(event)


def test_a_world_follows_what_is_made_changed_and_gone() -> None:
    store = estate(DENY_ALL)
    worlds = Worlds(store)
    assert verdict(store, API, WEB, worlds).verdict == "deny"
    part = Inventory(cluster=inventory().cluster, policies=(API_FROM_WEB,))
    followed(store, worlds, happened.ClusterChanged(at=AT + 5, inventory=part))
    assert verdict(store, API, WEB, worlds).verdict == "allow"
    gone = (happened.ObjectName(kind="policies", namespace="payments", name="api-from-web"),)
    part = Inventory(cluster=inventory().cluster)
    followed(store, worlds, happened.ClusterChanged(at=AT + 9, inventory=part, gone=gone))
    assert verdict(store, API, WEB, worlds).verdict == "deny"
    pods = (happened.ObjectName(kind="pods", namespace="payments", name="api-0"),)
    followed(store, worlds, happened.ClusterChanged(at=AT + 9, inventory=part, gone=pods))
    assert verdict(store, POD, OPS, worlds).verdict == "allow"  # an address that nothing has any more


def test_a_policy_is_as_old_as_the_server_or_our_watch_tells() -> None:
    store = estate(DENY_ALL)
    worlds = Worlds(store)
    known = worlds.of("prod")
    assert known is not None
    part = Inventory(cluster=inventory().cluster, policies=(API_FROM_WEB,))
    followed(store, worlds, happened.ClusterChanged(at=AT + 5, inventory=part))
    ages = {key.name: at for key, at in known.changed_at.items()}
    assert ages == {"default-deny": 1_577_836_800.0, "api-from-web": AT + 5}


def test_policies_that_may_not_be_read_leave_unknown_what_they_may_say() -> None:
    for early in (True, False):
        store = estate(DENY_ALL)
        worlds = Worlds(store)
        if not early:
            assert verdict(store, API, WEB, worlds).verdict == "deny"
        denied = Denied(cluster="prod", what="list networkpolicies.networking.k8s.io", why="forbidden")
        followed(store, worlds, happened.ReadDenied(at=AT, denied=denied))
        assert verdict(store, API, WEB, worlds).verdict == "unknown"


def test_policies_that_are_not_followed_any_more_are_unknown_until_they_are_again() -> None:
    store = estate(DENY_ALL)
    worlds = Worlds(store)
    what = "networkpolicies.networking.k8s.io"
    for status, says in ((happened.WatchStatus.FAILED, "unknown"), (happened.WatchStatus.FOLLOWED, "deny")):
        watch = happened.WatchChanged(at=AT, cluster="prod", what=what, status=status, detail="no answer")
        followed(store, worlds, watch)
        assert verdict(store, API, WEB, worlds).verdict == says
        assert verdict(store, API, WEB, Worlds(store)).verdict == says  # made later, it knows the same


def test_policies_of_other_systems_are_known_to_be_there() -> None:
    raw = {"metadata": {"name": "p", "namespace": "payments"}, "spec": {"endpointSelector": {}}}
    record = policy_record(raw, "prod", api_version="cilium.io/v2", kind="CiliumNetworkPolicy")
    assert record is not None
    store = estate(DENY_ALL)
    part = Inventory(cluster=inventory().cluster, other_policies=(record,))
    store.apply(happened.ClusterChanged(at=AT, inventory=part))
    assert store.clusters["prod"].other_policies == (record,)
    assert verdict(store, API, WEB).verdict == "unknown"
    name = happened.ObjectName(kind="other_policies", namespace="payments", name="CiliumNetworkPolicy.cilium.io/v2/p")
    store.apply(happened.ClusterChanged(at=AT, inventory=Inventory(cluster=part.cluster), gone=(name,)))
    assert verdict(store, API, WEB).verdict == "deny"


@pytest.mark.parametrize("document", ["", "{", "[]", "[" * 100_000])
@pytest.mark.parametrize("spec", ["podSelector: {}", ""])
def test_a_policy_whose_text_was_not_kept_decides_nothing(spec: str, document: str) -> None:
    told = verdict(estate(replace(DENY_ALL, document=document, spec=spec)), API, WEB)
    assert told.verdict is Predicted.UNKNOWN
    assert any("its text" in each.text for each in told.assumptions)
