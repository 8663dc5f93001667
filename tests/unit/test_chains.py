"""A cell's chain as a session builds it: of policies, hosts read or not, clouds, backends, enforcement."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.judgement.chain import POLICIES, Chain, predict
from kubeshield_tui.judgement.comparison import Code
from kubeshield_tui.judgement.judge import Judge, Outcome
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Denied, Inventory, Recognition
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Layer, Verdict
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.rejudging import Rejudging
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.page.policies import asked
from kubeshield_tui.ui.page.view import CellView
from tests.unit import host_readings
from tests.unit.estate import answer, endpoint, vantage
from tests.unit.policed import (
    API,
    API_FROM_WEB,
    API_POD,
    AT,
    DENY_ALL,
    METADATA,
    N1,
    N2,
    NODE_PORT,
    OPS,
    POD,
    WEB,
    estate,
    inventory,
    own_pod,
    policy,
)

INGRESS = "policy:prod/NetworkPolicy/payments/"


class Known:
    """A store with everything that makes chains of it."""

    def __init__(self, store: Store, settings: Settings | None = None) -> None:
        self.store = store
        self.worlds = Worlds(store)
        self.chains = Chains(store, self.worlds, Firewalls(store), settings or Settings())

    def of(self, target: Endpoint, source: Vantage) -> Chain:
        return self.chains.of(CellKey(target.id, source.id))

    def layer(self, target: Endpoint, source: Vantage, name: str) -> Layer | None:
        return next((each for each in self.of(target, source).layers if each.layer == name), None)

    def tell(self, event: happened.Event) -> None:
        self.store.apply(event)
        self.worlds.told(event)
        self.chains.changed()

    def judged(self, target: Endpoint, source: Vantage, state: State, *at: float) -> Outcome:
        judge = Judge(self.store.endpoints, self.store.vantages, chain_of=self.chains.of)
        for moment in at or (AT,):
            observation = answer(CellKey(target.id, source.id), moment, state)
            self.store.apply(happened.CellObserved(at=moment, observation=observation))
            judge.tell(observation)
        outcome = judge.judge(CellKey(target.id, source.id))
        assert outcome is not None
        self.store.apply(happened.CellJudged(at=AT, judgement=outcome.judgement))
        return outcome


def names(chain: Chain) -> list[str]:
    return [f"{layer.layer} {layer.verdict}" for layer in chain.layers]


def test_the_layers_of_a_pods_way_in_their_order() -> None:
    known = Known(estate(DENY_ALL, API_FROM_WEB))
    assert names(known.of(API, OPS)) == [
        "egress-policy allow", "source-firewall unknown", "node-firewall unknown", "ingress-policy deny",
    ]  # fmt: skip
    layer = known.layer(API, OPS, "ingress-policy")
    assert layer is not None
    assert "default-deny" in layer.decider
    assert layer.refs == (f"{INGRESS}api-from-web", f"{INGRESS}default-deny")
    assert layer.domain == "policies of prod"
    assert known.of(API, OPS).listener is True
    assert known.of(API, OPS).deny_style == "drop"
    assert predict(known.of(API, WEB).layers).verdict is Predicted.UNKNOWN  # no host was read


def test_the_rule_that_matches_in_all_but_one_field_is_named() -> None:
    mine = own_pod("shop", "10.244.2.77", app="probe")
    layer = Known(estate(API_FROM_WEB, vantages=(mine,))).layer(API, mine, "ingress-policy")
    assert layer is not None
    assert "api-from-web" in layer.near_miss
    assert "app=web" in layer.near_miss


def test_only_what_applies_is_a_layer() -> None:
    known = Known(estate(DENY_ALL, vantages=(WEB, OPS, vantage("local"), vantage("ssh:b"))))
    assert names(known.of(METADATA, OPS)) == ["egress-policy allow", "source-firewall unknown"]
    local = known.of(POD, known.store.vantages[vantage("local").id])
    assert names(local) == ["vantage-egress unknown", "node-firewall unknown", "ingress-policy deny"]
    loopback = endpoint("here", host="127.0.0.1")
    known.tell(happened.EndpointFound(at=AT, endpoint=loopback))
    assert known.of(loopback, OPS) == Chain()


def test_a_pod_that_asks_itself_meets_nobody() -> None:
    own = replace(POD, id=endpoint("own").id, host="10.244.2.8")
    known = Known(estate(DENY_ALL))
    known.tell(happened.EndpointFound(at=AT, endpoint=own))
    assert not [each for each in names(known.of(own, WEB)) if "firewall" in each]


def test_two_on_one_node_meet_its_firewall_once() -> None:
    web = replace(POD, id=endpoint("web").id, host="10.244.2.8")
    known = Known(estate())
    known.tell(happened.EndpointFound(at=AT, endpoint=web))
    assert names(known.of(web, OPS)) == ["egress-policy allow", "source-firewall unknown", "ingress-policy allow"]


def test_clouds_are_layers_where_there_is_a_cloud_and_packets_pass_through_it() -> None:
    aws = Recognition(what="provider", name="aws", evidence="Node n1")
    known = Known(estate(recognised=(aws,)))
    assert [each for each in names(known.of(API, OPS)) if "cloud" in each] == [
        "cloud-source unknown", "cloud-target unknown",
    ]  # fmt: skip
    web = replace(POD, id=endpoint("web").id, host="10.244.2.8")
    known.tell(happened.EndpointFound(at=AT, endpoint=web))
    assert not [each for each in names(known.of(web, OPS)) if "cloud" in each]  # it stays on its node
    assert not [each for each in names(Known(estate()).of(API, OPS)) if "cloud" in each]


@pytest.mark.parametrize(("recognised", "cni", "enforced"), [
    ((), (), None),
    ((Recognition(what="cni", name="flannel", evidence="DaemonSet"),), (), False),
    ((), (("", "enforces", "yes"),), True),
])  # fmt: skip
def test_policies_are_in_force_as_far_as_something_tells(
    recognised: tuple[Recognition, ...], cni: tuple[tuple[str, str, str], ...], enforced: bool | None
) -> None:
    known = Known(estate(DENY_ALL, recognised=recognised), Settings(cni=cni))
    layer = known.layer(API, OPS, "ingress-policy")
    assert layer is not None
    assert (layer.verdict, layer.enforced) == (Predicted.DENY, enforced)


def test_a_self_test_settles_whether_policies_are_in_force() -> None:
    known = Known(estate(DENY_ALL, recognised=()))
    assert known.judged(API, OPS, State.FILTERED).judgement.depth == 0
    test = SelfTest(cluster="prod", enforced=True, before="open", after="filtered", deny_style="drop")
    known.tell(happened.SelfTested(at=AT, test=test))
    assert known.judged(API, OPS, State.FILTERED).judgement.depth == 1


def test_what_gets_through_against_a_policy_is_not_enforced_and_critical_the_second_time() -> None:
    known = Known(estate(DENY_ALL))
    once = known.judged(API, OPS, State.OPEN)
    assert once.judgement.comparison.code == Code.NOT_ENFORCED
    assert [(finding.code, finding.severity) for finding in once.findings] == [("not-enforced", "high")]
    assert [want.not_before for want in once.wants] == [AT + 5]
    twice = known.judged(API, OPS, State.OPEN, AT, AT + 6)
    (finding,) = twice.findings
    assert finding.severity == "critical"
    assert "default-deny" in finding.title
    assert any("ingress-policy: deny" in line for line in finding.because)
    assert any("get networkpolicy default-deny -o yaml" in command for command in finding.verify)
    assert finding.remedy
    assert twice.judgement.depth == 0  # the answer refutes every network layer


def test_an_answer_from_a_file_is_compared_with_no_rules_of_today() -> None:
    outside = vantage("script:answers.ndjson", addresses=("192.0.2.7",))
    known = Known(estate(DENY_ALL, vantages=(outside,)))
    judged = known.judged(POD, outside, State.OPEN)
    assert judged.judgement.prediction.verdict is Predicted.DENY
    assert judged.judgement.comparison.code == Code.NOT_COMPARED
    assert "not-enforced" not in {finding.code for finding in judged.findings}


def test_what_a_policy_stops_is_one_failure_away() -> None:
    known = Known(estate(DENY_ALL))
    known.store.apply(happened.VantageAdded(at=AT, vantage=vantage("ssh:b")))
    judged = known.judged(API, OPS, State.FILTERED).judgement
    assert (judged.prediction.verdict, judged.prediction.layer) == (Predicted.DENY, "ingress-policy")
    assert judged.next_decider == "not known: source-firewall, node-firewall"
    assert (judged.depth, judged.depth_max) == (1, 4)
    assert judged.comparison.code == Code.COMPATIBLE  # hosts were not read
    assert judged.listener == "1 of 1 backends ready"


def test_a_node_port_answers_in_the_pods_place() -> None:
    known = Known(estate(DENY_ALL, vantages=(OPS, vantage("ssh:b"))))
    assert known.of(NODE_PORT, OPS).front is True
    assert known.of(API, OPS).front is False
    assert known.of(POD, OPS).front is False


def test_a_proxy_beside_the_source_answers_in_the_targets_place() -> None:
    known = Known(estate(DENY_ALL))
    pods = tuple(replace(each, images=("docker.io/istio/proxyv2:1.22",)) for each in inventory().pods)
    known.tell(happened.ClusterChanged(at=AT, inventory=Inventory(cluster=inventory().cluster, pods=pods)))
    assert known.of(API, OPS).front is True
    assert known.judged(API, OPS, State.OPEN).judgement.comparison.code == Code.COMPATIBLE


def test_what_arrives_at_pods_that_were_not_read_is_not_known() -> None:
    known = Known(estate(DENY_ALL))
    pods = tuple(happened.ObjectName(kind="pods", namespace=p.namespace, name=p.name) for p in inventory().pods)
    gone = happened.ClusterChanged(at=AT, inventory=Inventory(cluster=inventory().cluster), gone=pods)
    known.tell(gone)
    assert "ingress-policy unknown" in names(known.of(API, OPS))
    assert "ingress-policy" not in " ".join(names(known.of(POD, OPS)))  # an address that nothing has any more
    known.tell(happened.ReadDenied(at=AT, denied=Denied(cluster="prod", what="list pods", why="forbidden")))
    assert "ingress-policy unknown" in names(known.of(POD, OPS))
    assert "ingress-policy" not in " ".join(names(known.of(METADATA, OPS)))


def test_a_service_without_ready_backends_has_no_listener() -> None:
    known = Known(estate())
    behind = inventory().backends[0]
    empty = replace(behind, backends=tuple(replace(each, ready=False) for each in behind.backends))
    part = Inventory(cluster=inventory().cluster, backends=(empty,))
    known.tell(happened.ClusterChanged(at=AT, inventory=part))
    chain = known.of(API, OPS)
    assert (chain.listener, chain.listener_text) == (False, "0 of 1 backends ready")


def test_cells_that_no_policy_tells_apart_share_their_layers_and_others_do_not() -> None:
    known = Known(estate(DENY_ALL, API_FROM_WEB))
    again = replace(POD, id=endpoint("again").id)
    known.tell(happened.EndpointFound(at=AT, endpoint=again))
    assert known.layer(POD, OPS, "ingress-policy") is known.layer(again, OPS, "ingress-policy")
    assert known.layer(POD, OPS, "ingress-policy") is not known.layer(POD, WEB, "ingress-policy")
    exact = known.chains.exactly(CellKey(POD.id, OPS.id))
    assert [layer.place for layer in exact.layers if layer.layer in POLICIES] == ["ops/ops-0", "payments/api-0"]


def reading(store: Store, node: str, address: str, **items: str | None) -> None:
    """Let a node over SSH be read."""
    made = vantage(f"node:{node}", addresses=(address,), cluster="prod")
    made = replace(made, spec=replace(made.spec, host=node))
    store.apply(happened.VantageAdded(at=AT, vantage=made))
    for source in host_readings.sources(
        vantage=made.id, host=node, at=AT, **host_readings.at_address(address), **items
    ):
        store.apply(happened.SourceCollected(at=AT, source=source))


def translating(*rules: str) -> str:
    return host_readings.saved(*rules, table="nat", legacy=True)


def test_policies_judge_the_visitor_as_hosts_make_him_arrive() -> None:
    from_n2 = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": f"{N2}/32"}}]}]}
    store = estate(policy("only-n2", "payments", from_n2))
    known = Known(store, Settings(cni=(("", "ipblock-matches-nodes", "yes"),)))
    assert [known.of(each, OPS).prediction.verdict for each in (POD, NODE_PORT)] == [Predicted.DENY, Predicted.UNKNOWN]
    dnat = translating(f"-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination {API_POD}:8080")
    reading(store, "n1", N1, iptables_legacy=dnat)
    reading(store, "n2", N2, iptables_legacy=translating(f"-A POSTROUTING -d {N1}/32 -j SNAT --to-source {N2}"))
    known.tell(happened.Progress(at=AT, phase="read"))
    layer = known.layer(NODE_PORT, OPS, "ingress-policy")
    assert layer is not None
    assert layer.verdict is Predicted.ALLOW
    assert layer.decider.startswith(f"as {N2}: NetworkPolicy payments/only-n2 ingress[0] allows")
    assert known.of(POD, OPS).prediction.verdict is Predicted.DENY
    view = CellView(store, Firewalls(store), known.worlds, CellKey(NODE_PORT.id, OPS.id), AT, 100)
    assert [each.direction.verdict for each in asked(view)] == [Predicted.ALLOW, Predicted.ALLOW]  # the page agrees
    # Replaced where it is bound for the pod already: an engine there sees the pod, one at the target sees the node.
    reading(store, "n2", N2, iptables_legacy=translating(f"-A POSTROUTING -j SNAT --to-source {N2}"))
    known.tell(happened.Progress(at=AT, phase="read"))
    layer = known.layer(POD, OPS, "ingress-policy")
    assert layer is not None
    assert layer.verdict is Predicted.UNKNOWN
    assert "as ops/ops-0: " in layer.decider
    assert f"as {N2}: " in layer.decider
    seen = known.judged(POD, OPS, State.OPEN, AT, AT + 6)
    assert seen.judgement.comparison.code == Code.RESOLVED  # nobody is accused


def test_a_node_port_of_a_service_that_is_local_elsewhere_meets_the_policies_of_the_pod_that_rules_lead_to() -> None:
    store = estate(DENY_ALL)
    services = tuple(replace(each, external_traffic_policy="Local") for each in inventory().services)
    entry = replace(NODE_PORT, id=endpoint("far").id, host=N2)
    known = Known(store)
    known.tell(happened.EndpointFound(at=AT, endpoint=entry))
    known.tell(happened.ClusterChanged(at=AT, inventory=Inventory(cluster=inventory().cluster, services=services)))
    assert known.layer(entry, OPS, "ingress-policy") is None  # by the API no pod of that node is behind it
    dnat = translating(f"-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination {API_POD}:8080")
    reading(store, "n1", N1)
    reading(store, "n2", N2, iptables_legacy=dnat)
    known.tell(happened.Progress(at=AT, phase="read"))
    layer = known.layer(entry, OPS, "ingress-policy")
    assert layer is not None
    assert (layer.verdict, layer.decider.startswith("isolated by NetworkPolicy payments/default-deny")) == (
        Predicted.DENY, True,
    )  # fmt: skip


# --- what if


def test_leaving_out_a_policy_asks_what_the_others_say() -> None:
    known = Known(estate(DENY_ALL, API_FROM_WEB))
    known.judged(API, OPS, State.FILTERED)
    key = CellKey(API.id, OPS.id)
    one, both = {f"{INGRESS}default-deny"}, {f"{INGRESS}default-deny", f"{INGRESS}api-from-web"}
    told = known.chains.imagine(key, frozenset(one))
    assert told is not None
    assert (told.prediction.verdict, told.opens, told.depth.least) == (Predicted.DENY, False, 1)
    told = known.chains.imagine(key, frozenset(both))
    assert told is not None
    assert (told.prediction.verdict, told.opens, told.depth.least) == (Predicted.UNKNOWN, None, 0)  # hosts: not read
    told = known.chains.imagine(key, frozenset(both | {"source-firewall", "node-firewall"}))
    assert told is not None
    assert (told.prediction.verdict, told.opens) == (Predicted.ALLOW, True)
    assert known.chains.imagine(CellKey(POD.id, OPS.id), frozenset()) is None  # not measured


def test_nothing_opens_where_nothing_listens() -> None:
    known = Known(estate(DENY_ALL))
    known.judged(API, OPS, State.FILTERED)
    key, all_of_it = CellKey(API.id, OPS.id), POLICIES | {"source-firewall", "node-firewall"}
    told = known.chains.imagine(key, all_of_it)
    assert told is not None
    assert told.opens is True
    behind = inventory().backends[0]
    empty = replace(behind, backends=tuple(replace(each, ready=False) for each in behind.backends))
    known.tell(happened.ClusterChanged(at=AT, inventory=Inventory(cluster=inventory().cluster, backends=(empty,))))
    known.judged(API, OPS, State.FILTERED)
    told = known.chains.imagine(key, all_of_it)
    assert told is not None
    assert (told.prediction.verdict, told.opens) == (Predicted.ALLOW, False)


# --- what is judged again


def concerned(store: Store, event: happened.Event) -> set[CellKey]:
    import asyncio

    asked: set[CellKey] = set()

    async def told() -> None:
        rejudging = Rejudging(store, lambda: None, asked.update)
        rejudging.told(event)
        rejudging.finish()

    asyncio.run(told())
    return asked


def test_a_change_judges_again_what_it_concerns_and_nothing_else() -> None:
    known = Known(estate(DENY_ALL, API_FROM_WEB))
    for target in (API, METADATA):
        for source in (WEB, OPS):
            known.judged(target, source, State.OPEN)
    assert known.store.verdicts[Verdict.REACHABLE] + known.store.verdicts[Verdict.EXPOSED] == 4
    facts = inventory().cluster

    def change(**part: object) -> happened.ClusterChanged:
        return happened.ClusterChanged(at=AT, inventory=Inventory(cluster=facts, **part))  # type: ignore[arg-type]

    store = known.store
    assert concerned(store, change(policies=(DENY_ALL,))) == {CellKey(API.id, WEB.id), CellKey(API.id, OPS.id)}
    shop = replace(DENY_ALL, namespace="shop")
    assert concerned(store, change(policies=(shop,))) == {CellKey(API.id, WEB.id), CellKey(METADATA.id, WEB.id)}
    assert len(concerned(store, change(nodes=inventory().nodes))) == 4
    gone = (happened.ObjectName(kind="policies", namespace="ops", name="x"),)
    event = happened.ClusterChanged(at=AT, inventory=Inventory(cluster=facts), gone=gone)
    assert concerned(store, event) == {CellKey(API.id, OPS.id), CellKey(METADATA.id, OPS.id)}
    assert concerned(store, happened.Progress(at=AT, phase="x")) == set()
