"""What depends on what: rows and columns that a change concerns, by name, by address and by namespace."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    BackendRecord,
    IngressRecord,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    PolicyRecord,
)
from kubeshield_tui.model.endpoint import Endpoint, PodRef, Scope
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import Vantage, VantageFacts
from kubeshield_tui.session.concern import Change, Concerned, Concerns, asks_alike, same_target
from tests.unit.estate import endpoint, vantage

POD = PodRecord(cluster="prod", namespace="shop", name="web-0", addresses=("10.244.0.1",), phase="Running")
ROW = replace(
    endpoint("web", host="10.96.0.1", scope=Scope.CLUSTER),
    namespace="shop",
    object="Service/web",
    backends=(PodRef(namespace="shop", name="web-0"),),
)
OWN = vantage("pod:shop")
OWN = replace(OWN, facts=VantageFacts(runner="x", created="Pod shop/kubeshield-1"))


def concerned(
    before: Record | None, after: Record | None, rows: Iterable[Endpoint] = (ROW,), columns: Iterable[Vantage] = ()
) -> Concerned:
    concerns = Concerns("prod")
    for row in rows:
        concerns.put(row)
    return concerns.of([Change(before, after)], {each.id: each for each in columns})


def test_a_pod_concerns_what_it_backs_and_what_is_at_its_address() -> None:
    labelled = replace(POD, labels=(("app", "x"),))
    assert concerned(POD, labelled).endpoints == {ROW.id}
    by_address = replace(ROW, host="10.244.0.1", backends=())
    assert concerned(POD, labelled, [by_address]).endpoints == {ROW.id}
    moved = replace(POD, addresses=("10.244.0.9",))
    assert concerned(moved, POD, [by_address]).endpoints == {ROW.id}  # it was there, or is there now
    assert concerned(POD, moved, [by_address]).endpoints == {ROW.id}
    on_host = replace(POD, host_network=True)
    assert concerned(on_host, replace(labelled, host_network=True), [by_address]).endpoints == frozenset()


def test_hand_written_backends_concern_their_services_rows() -> None:
    def behind(address: str, *, ready: bool = True) -> BackendRecord:
        backends = (Backend(address=address, ready=ready),)
        return BackendRecord(
            namespace="shop", name="x", service="web", ports=(BackendPort(port=80),), backends=backends
        )

    assert concerned(behind("10.0.0.1"), behind("10.0.0.2")).endpoints == {ROW.id}
    assert concerned(None, behind("10.0.0.2")).endpoints == {ROW.id}
    assert concerned(behind("10.0.0.1", ready=False), behind("10.0.0.2", ready=False)).endpoints == frozenset()
    api = replace(ROW, namespace="default", object="Endpoints/kubernetes", backends=())
    slices = replace(behind("10.0.0.1"), namespace="default", service="kubernetes")
    assert concerned(None, slices, [api]).endpoints == {ROW.id}


def test_an_ingress_and_a_node_concern_their_own_rows() -> None:
    entrance = replace(ROW, object="Ingress/shop", backends=())
    ingress = IngressRecord(namespace="shop", name="shop")
    assert concerned(ingress, replace(ingress, hosts=("a",)), [entrance]).endpoints == {ROW.id}
    node = NodeRecord(cluster="prod", name="n1", addresses=("10.0.0.1",))
    node_port = replace(ROW, node="n1", backends=())
    kubelet = replace(ROW, namespace="", object="Node/n1", backends=())
    for row in (node_port, kubelet):
        assert concerned(node, replace(node, addresses=("10.0.0.2",)), [row]).endpoints == {ROW.id}
        assert concerned(node, replace(node, kernel="6.1"), [row]).endpoints == frozenset()


def test_a_policy_concerns_its_namespace_and_never_the_api_server() -> None:
    policy = PolicyRecord(cluster="prod", namespace="shop", name="deny")
    assert concerned(None, policy).endpoints == {ROW.id}
    assert concerned(policy, None).endpoints == {ROW.id}
    elsewhere = replace(ROW, backends=(PodRef(namespace="db", name="db-0"),))
    assert concerned(None, policy, [elsewhere]).endpoints == frozenset()
    unknown = replace(ROW, backends=())  # slices that may not be read: its pods are in its namespace, whoever they are
    assert concerned(None, policy, [unknown]).endpoints == {ROW.id}
    api = replace(ROW, namespace="default", object="Service/kubernetes", backends=())
    assert concerned(None, replace(policy, namespace="default"), [api]).endpoints == frozenset()


def test_a_namespaces_labels_concern_it_its_coming_nobody() -> None:
    shop = NamespaceRecord(cluster="prod", name="shop")
    labelled = replace(shop, labels=(("team", "x"),))
    assert concerned(shop, labelled, columns=[OWN]) == Concerned(frozenset({ROW.id}), frozenset({OWN.id}))
    assert concerned(None, shop, columns=[OWN]) == Concerned(frozenset(), frozenset())


def test_a_column_is_concerned_by_the_pod_that_asks_once_it_ran() -> None:
    ours = replace(POD, name="kubeshield-1")
    pending = replace(ours, addresses=(), phase="Pending")
    assert concerned(ours, replace(ours, labels=(("a", "b"),)), columns=[OWN]).vantages == {OWN.id}
    assert concerned(None, ours, columns=[OWN]).vantages == frozenset()
    assert concerned(pending, ours, columns=[OWN]).vantages == frozenset()  # it asks when it runs, not twice
    assert concerned(ours, None, columns=[OWN]).vantages == frozenset()
    existing, other = vantage("pod:shop/web-0"), vantage("pod:shop/web-0", cluster="staging")
    labelled = replace(POD, labels=(("a", "b"),))
    assert concerned(POD, labelled, columns=[existing, vantage("local")]).vantages == {existing.id}
    assert concerned(POD, labelled, columns=[other]).vantages == frozenset()  # a pod of that name in another cluster


def test_what_went_leaves_nothing_behind() -> None:
    concerns = Concerns("prod")
    for _ in range(3):
        concerns.put(ROW)
        concerns.put(replace(ROW, host="10.96.0.2", backends=()))
    concerns.drop(ROW.id)
    assert concerns.of([Change(POD, replace(POD, labels=(("a", "b"),)))], {}).endpoints == frozenset()
    assert not concerns._by
    assert not concerns._endpoints


def test_the_order_of_backends_and_what_a_row_is_called_ask_nothing() -> None:
    two = (PodRef(namespace="shop", name="a"), PodRef(namespace="shop", name="b"))
    row = replace(ROW, backends=two)
    assert asks_alike(row, replace(row, backends=two[::-1], name="other", source="y", group="z"))
    for other in (replace(row, backends=two[:1]), replace(row, backend_port="http"), replace(row, host="10.96.0.9")):
        assert not asks_alike(row, other)
    assert same_target(row, replace(row, backends=()))
    assert not same_target(row, replace(row, scope=Scope.GLOBAL))
