"""The hosts on a visitor's way: whose rules he meets, in which order, as whom, and who could read them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import ClusterFacts, ContainerPort, Inventory, NodeRecord, PodRecord
from kubeshield_tui.model.endpoint import Endpoint, PodRef
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.store import Store
from tests.unit import host_readings
from tests.unit.estate import answer, endpoint, vantage
from tests.unit.host_readings import AT, DROP, at_address, nft, port, saved

N1, N2 = "10.0.0.11", "10.0.0.12"
API = endpoint("api", host=N1, port=10250)
WEB = replace(
    endpoint("web", host="10.96.3.1", port=80),
    backends=(PodRef(namespace="shop", name="web-0"), PodRef(namespace="shop", name="web-1")),
    backend_port="http",
)
NODE_PORT = replace(WEB, id=endpoint("np", port=30080).id, host=N1, port=30080)
POD = endpoint("pod", host="10.244.1.7", port=8080)
OUTSIDE = endpoint("outside", host="198.51.100.9", port=443)


def pod(name: str, address: str, node: str, **more: object) -> PodRecord:
    ports = (ContainerPort(port=8080, name="http"),)
    return PodRecord(
        cluster="prod",
        namespace="shop",
        name=name,
        addresses=(address,),
        node=node,
        phase="Running",
        ports=ports,
        **more,
    )  # type: ignore[arg-type]


def estate(*vantages: Vantage, endpoints: tuple[Endpoint, ...] = (API, WEB, NODE_PORT, POD, OUTSIDE)) -> Store:
    store = Store()
    inventory = Inventory(
        cluster=ClusterFacts(id="prod", server="https://10.0.0.11:6443"),
        nodes=(
            NodeRecord(cluster="prod", name="n1", addresses=(N1,)),
            NodeRecord(cluster="prod", name="n2", addresses=(N2,)),
        ),
        pods=(
            pod("web-0", "10.244.1.7", "n1"),
            pod("web-1", "10.244.2.7", "n2"),
            pod("old", "10.244.2.7", "n9"),
            pod("proxy", N2, "n2", host_network=True),
        ),
    )
    finished = replace(inventory.pods[2], phase="Succeeded")
    store.apply(
        happened.ClusterRead(
            at=AT, inventory=replace(inventory, pods=(*inventory.pods[:2], finished, *inventory.pods[3:]))
        )
    )
    for each in endpoints:
        store.apply(happened.EndpointFound(at=AT, endpoint=each))
    for source in vantages:
        store.apply(happened.VantageAdded(at=AT, vantage=source))
    return store


def collect(store: Store, name: str, host: str, **items: str | None) -> None:
    for source in host_readings.sources(vantage=name, host=host, **items):
        store.apply(happened.SourceCollected(at=AT, source=source))


def way(store: Store, target: Endpoint, name: str) -> list[tuple[str, str, bool]]:
    stops = Firewalls(store).way(CellKey(target.id, VantageId(name)))
    return [(stop.layer, stop.host, stop.gathered is not None) for stop in stops]


def node_over_ssh(name: str, address: str) -> Vantage:
    made = vantage(f"node:{name}", addresses=(address,), cluster="prod")
    return replace(made, spec=replace(made.spec, host=name))


JUMP = vantage("ssh:jump", addresses=("203.0.113.4",))
SHOP = vantage("pod:shop/web-0", node="n1", addresses=("10.244.1.7",))


def test_from_an_ssh_host_to_a_node_that_nobody_read() -> None:
    store = estate(JUMP)
    assert way(store, API, "ssh:jump") == [("vantage-egress", "jump", False), ("node-firewall", "n1", False)]
    stops = Firewalls(store).way(CellKey(API.id, VantageId("ssh:jump")))
    assert [stop.reader for stop in stops] == ["ssh:jump", None]
    assert [stop.visit.begins_here for stop in stops] == [True, False]
    assert stops[1].visit.source == "203.0.113.4"
    assert way(store, OUTSIDE, "ssh:jump") == [("vantage-egress", "jump", False)]


def test_a_node_is_read_by_the_vantage_that_stands_on_it_whatever_it_is_called() -> None:
    for reader in (node_over_ssh("n1", N1), vantage("ssh:first-master", addresses=(N1, "10.244.1.1"))):
        store = estate(JUMP, reader)
        stops = Firewalls(store).way(CellKey(API.id, VantageId("ssh:jump")))
        assert stops[1].reader == reader.id
        collect(store, reader.id, "n1")
        assert way(store, API, "ssh:jump") == [("vantage-egress", "jump", False), ("node-firewall", "n1", True)]


def test_addresses_that_a_reading_shows_tell_a_node_too() -> None:
    reader = vantage("ssh:first-master", addresses=())
    store = estate(JUMP, reader)
    assert way(store, API, "ssh:jump")[1] == ("node-firewall", "n1", False)
    collect(store, "ssh:first-master", "first-master")
    assert way(store, API, "ssh:jump")[1] == ("node-firewall", "n1", True)


def test_one_that_read_a_node_stands_in_for_one_that_could() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1), vantage("ssh:other", addresses=(N1,)))
    collect(store, "node:n1", "n1")
    stops = Firewalls(store).way(CellKey(API.id, VantageId("ssh:jump")))
    assert stops[1].reader == "node:n1"


def test_a_pods_node_comes_first_and_stands_once_where_the_target_is_on_it() -> None:
    store = estate(SHOP)
    assert way(store, OUTSIDE, SHOP.id) == [("source-firewall", "n1", False)]
    assert way(store, API, SHOP.id) == [("source-firewall", "n1", False)]


@pytest.mark.parametrize("target", ["127.0.0.1", "::1", "10.244.1.7"])
def test_what_a_pod_asks_of_itself_meets_no_host(target: str) -> None:
    itself = endpoint("itself", host=target, port=6443)
    assert way(estate(SHOP, endpoints=(itself,)), itself, "pod:shop/web-0") == []


def test_a_pod_in_its_hosts_network_meets_the_hosts_rules_on_its_own_addresses() -> None:
    proxy = vantage("pod:kube-system/proxy", node="n2", addresses=(N2,))
    own = endpoint("own", host=N2, port=10250)
    assert way(estate(proxy, endpoints=(own,)), own, "pod:kube-system/proxy") == [("vantage-egress", "n2", False)]


def test_a_pod_in_its_hosts_network_starts_on_the_host_whichever_of_its_addresses_it_comes_as() -> None:
    proxy = vantage("pod:kube-system/proxy", node="n1", addresses=(N1,))
    own = endpoint("own", host=N1, port=10250)
    store = estate(proxy, endpoints=(POD, own))
    through_bridge = replace(answer(CellKey(POD.id, proxy.id), AT, State.OPEN), source="10.244.1.1")
    store.apply(happened.CellObserved(at=AT, observation=through_bridge))
    (stop,) = Firewalls(store).way(CellKey(POD.id, proxy.id))
    assert (stop.layer, stop.visit.begins_here) == ("vantage-egress", True)
    assert not Firewalls(store).ways().stays_in_pod(CellKey(own.id, proxy.id))


def test_a_service_is_followed_to_its_backends_as_the_api_says_until_rules_say_it() -> None:
    store = estate(SHOP)
    assert way(store, WEB, SHOP.id) == [("source-firewall", "n1", False), ("node-firewall", "n2", False)]
    rules = saved("-A PREROUTING -d 10.96.3.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.2.7:8080",
                  table="nat", legacy=True)  # fmt: skip
    store = estate(SHOP, node_over_ssh("n1", N1))
    collect(store, "node:n1", "n1", iptables_legacy=rules)
    stops = Firewalls(store).way(CellKey(WEB.id, SHOP.id))
    assert [(stop.host, stop.visit.target, stop.visit.port) for stop in stops] == [
        ("n1", "10.96.3.1", 80), ("n2", "10.244.2.7", 8080),
    ]  # fmt: skip


def test_a_node_port_leads_on_to_the_node_of_the_pod_as_whom_it_is_translated() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1))
    nat = saved("-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.2.7:8080",
                "-A POSTROUTING -d 10.244.2.7/32 -j SNAT --to-source 10.0.0.11", table="nat", legacy=True)  # fmt: skip
    collect(store, "node:n1", "n1", iptables_legacy=nat)
    stops = Firewalls(store).way(CellKey(NODE_PORT.id, VantageId("ssh:jump")))
    assert [(stop.layer, stop.host, stop.visit.source, stop.visit.port) for stop in stops] == [
        ("vantage-egress", "jump", "203.0.113.4", 30080),
        ("node-firewall", "n1", "203.0.113.4", 30080),
        ("node-firewall", "n2", N1, 8080),
    ]


def test_a_node_port_leads_policies_to_the_pod_that_rules_name() -> None:
    store = estate(SHOP, node_over_ssh("n1", N1), node_over_ssh("n2", N2))
    dnat = saved("-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.2.7:8080",
                 table="nat", legacy=True)  # fmt: skip
    collect(store, "node:n1", "n1", iptables_legacy=dnat)
    collect(store, "node:n2", "n2", **at_address(N2))
    assert arrivals(store, NODE_PORT, SHOP) == {(None, "10.244.2.7", 8080)}
    assert arrivals(store, API, SHOP) == set()  # it ends at the node


def test_whom_policies_see_is_left_open_where_more_may_answer_than_are_told() -> None:
    store = estate(SHOP, node_over_ssh("n1", N1), node_over_ssh("n2", N2))
    ends = [f"-A PREROUTING -m statistic --mode random --probability 0.5 -p tcp -m tcp --dport 30080 -j DNAT "
            f"--to-destination 10.244.2.7:{port}" for port in range(8080, 8086)]  # fmt: skip
    collect(store, "node:n1", "n1", iptables_legacy=saved(*ends, table="nat", legacy=True))
    collect(store, "node:n2", "n2", **at_address(N2))
    assert arrivals(store, NODE_PORT, SHOP) == set()


def arrivals(store: Store, target: Endpoint, source: Vantage) -> set[tuple[str | None, str, int]]:
    return {tuple(each) for each in Firewalls(store).ways().walk(CellKey(target.id, source.id)).arrivals}  # type: ignore[misc]


def test_whom_policies_may_see_arrive_hangs_on_where_the_source_is_replaced() -> None:
    entry = replace(NODE_PORT, host=N2)
    store = estate(SHOP, node_over_ssh("n1", N1), node_over_ssh("n2", N2), endpoints=(entry, POD))
    snat = saved(f"-A POSTROUTING -d {N2}/32 -j SNAT --to-source {N1}", table="nat", legacy=True)
    dnat = saved("-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.2.7:8080",
                 table="nat", legacy=True)  # fmt: skip
    both = saved("-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.2.7:8080",
                 f"-A POSTROUTING -j SNAT --to-source {N2}", table="nat", legacy=True)  # fmt: skip
    collect(store, "node:n1", "n1", iptables_legacy=snat)
    assert arrivals(store, entry, SHOP) == set()  # n2 was not read: the way is not known to its end
    collect(store, "node:n2", "n2", iptables_legacy=dnat, **at_address(N2))
    assert arrivals(store, entry, SHOP) == {(N1, "10.244.2.7", 8080)}  # before it was bound for the pod
    collect(store, "node:n2", "n2", iptables_legacy=both, **at_address(N2))
    assert arrivals(store, entry, SHOP) == {(N1, "10.244.2.7", 8080), (N2, "10.244.2.7", 8080)}
    collect(store, "node:n1", "n1", iptables_legacy=saved(table="nat", legacy=True))
    assert arrivals(store, entry, SHOP) == {(None, "10.244.2.7", 8080), (N2, "10.244.2.7", 8080)}
    collect(store, "node:n2", "n2", iptables_legacy=dnat, **at_address(N2))
    assert arrivals(store, entry, SHOP) == {(None, "10.244.2.7", 8080)}


def test_what_a_policy_engines_rules_drop_goes_on_as_if_it_were_let() -> None:
    store = estate(SHOP, node_over_ssh("n1", N1), endpoints=(POD,))
    rules = (":KUBE-ROUTER-IN - [0:0]", "-A FORWARD -j KUBE-ROUTER-IN", "-A KUBE-ROUTER-IN -j DROP")
    engine = saved(*rules, legacy=True)
    snat = saved(f"-A POSTROUTING -j SNAT --to-source {N1}", table="nat", legacy=True)
    far = replace(POD, host="10.244.2.7")
    store.apply(happened.EndpointFound(at=AT, endpoint=far))
    collect(store, "node:n1", "n1", iptables_legacy=f"{engine}\n{snat}")
    first, second = Firewalls(store).way(CellKey(far.id, SHOP.id))
    assert first.judged(AT).verdict is Predicted.DENY  # type: ignore[union-attr]
    assert second.visit.source == N1


def test_what_a_first_host_refuses_is_still_asked_of_the_next() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1))
    own = at_address("203.0.113.4")
    collect(store, "ssh:jump", "jump", nft=nft([port(10250), DROP], hook="output"), **own)
    collect(store, "node:n1", "n1", nft=nft([port(10250), DROP]))
    stops = Firewalls(store).way(CellKey(API.id, VantageId("ssh:jump")))
    layers = [stop.judged(AT) for stop in stops]
    assert [layer.verdict for layer in layers if layer] == [Predicted.DENY, Predicted.DENY]


def test_the_address_that_a_probe_really_had_counts_over_a_guess() -> None:
    several = vantage("ssh:jump", addresses=("203.0.113.4", "192.0.2.4"))
    store = estate(several)
    key = CellKey(API.id, VantageId("ssh:jump"))
    assert Firewalls(store).way(key)[0].visit.source == ""
    store.apply(happened.CellObserved(at=AT, observation=replace(answer(key, AT, State.OPEN), source="192.0.2.4")))
    assert Firewalls(store).way(key)[0].visit.source == "192.0.2.4"


def test_silence_told_no_source_and_what_is_known_of_the_host_tells_it() -> None:
    key = CellKey(API.id, VantageId("ssh:jump"))
    store = estate(vantage("ssh:jump", addresses=("127.0.0.1", "169.254.1.1", "203.0.113.4", "fe80::1", "2001:db8::4")))
    assert Firewalls(store).way(key)[0].visit.source == "203.0.113.4"
    several = vantage("ssh:jump", addresses=("192.0.2.4", "203.0.113.4", "10.0.0.4"))
    store = estate(several)
    collect(store, "ssh:jump", "jump", **at_address("10.0.0.4"))
    assert Firewalls(store).way(key)[0].visit.source == "10.0.0.4"
    node = vantage("node:n1", addresses=("10.244.1.1", N1), cluster="prod")
    assert Firewalls(estate(node)).way(CellKey(OUTSIDE.id, node.id))[0].visit.source == N1


def test_names_are_followed_once_it_is_known_where_they_led() -> None:
    named = endpoint("named", host="node.example", port=10250)
    store = estate(JUMP, endpoints=(named,))
    key = CellKey(named.id, VantageId("ssh:jump"))
    assert Firewalls(store).way(key) == ()
    store.apply(happened.CellObserved(at=AT, observation=replace(answer(key, AT, State.OPEN), peer=N1)))
    assert [stop.host for stop in Firewalls(store).way(key)] == ["jump", "n1"]


@pytest.mark.parametrize("spec", ["local", "script:answers.ndjson", "ssh:jump?via=direct"])
def test_who_stands_on_no_host_that_can_be_read_starts_at_the_target(spec: str) -> None:
    store = estate(vantage(spec))
    assert way(store, API, spec) == [("node-firewall", "n1", False)]


def test_a_reading_is_parsed_once_until_it_changes() -> None:
    store = estate(JUMP)
    collect(store, "ssh:jump", "jump")
    firewalls = Firewalls(store)
    first, ways = firewalls.gathered(VantageId("ssh:jump")), firewalls.ways()
    assert firewalls.gathered(VantageId("ssh:jump")) is first
    assert firewalls.ways() is ways
    collect(store, "ssh:jump", "jump", nft=nft([port(1), DROP], hook="output"))
    again = firewalls.gathered(VantageId("ssh:jump"))
    assert again is not first
    assert firewalls.ways().gathered["ssh:jump"] is again
    assert firewalls.gathered(VantageId("ssh:gone")) is None


def test_pods_of_a_node_are_those_of_its_pod_network() -> None:
    ways = Firewalls(estate(JUMP)).ways()
    assert list(ways.pods_on(("prod", "n1"))) == ["10.244.1.7"]
    assert list(ways.pods_on(("prod", "n2"))) == ["10.244.2.7"]
