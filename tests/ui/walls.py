"""An estate behind walls, judged by hand: blocks of depth 1, 2 and unexplained, what answers, and what nobody knows."""

from __future__ import annotations

from msgspec.structs import replace

from kubeshield_tui.judgement.chain import depth_of, predict
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import Expectation, Must
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage, Zone
from kubeshield_tui.model.verdict import Judgement, Layer, Verdict
from kubeshield_tui.session.store import Store
from tests.unit.estate import answer, endpoint, vantage

AT = 1_700_000_000.0
DB_POLICY = "policy:prod/NetworkPolicy/shop/db"
INPUT_RULE = "rule:n1/ip/filter/INPUT/27"
PHONE, SHOP, OPS = vantage("ssh:phone", Zone.OUTSIDE), vantage("pod:shop"), vantage("pod:ops")
API = endpoint("kube-apiserver", component="kube-apiserver", port=6443)
ETCD = endpoint("etcd", component="etcd", host="10.0.0.4", port=2379)
KUBELET = endpoint("kubelet n1", component="kubelet", host="10.0.0.11", port=10250)
DB = endpoint("db", host="10.96.3.7", port=5432)
WEB = endpoint("web", host="10.96.3.8", port=80)

POLICY = Layer(
    layer="ingress-policy", verdict=Predicted.DENY, decider="NetworkPolicy shop/db", domain="policies of prod",
    refs=(DB_POLICY,),
)  # fmt: skip
OPEN_POLICY = replace(POLICY, verdict=Predicted.ALLOW, decider="no policy isolates it", refs=())
NODE = Layer(
    layer="node-firewall", verdict=Predicted.DENY, domain="firewall of n1", place="n1", how="drop",
    decider="ip filter INPUT rule 3 (handle 27): -A INPUT -p tcp --dport 10250 -j DROP", refs=("host:n1", INPUT_RULE),
)  # fmt: skip
OPEN_NODE = replace(NODE, verdict=Predicted.ALLOW, decider="ip filter INPUT: policy accept", refs=("host:n1",))
UNREAD_NODE = replace(NODE, verdict=Predicted.UNKNOWN, decider="rules of n1 were not read", missing="rules of n1")
LOGIN = Layer(layer="authentication", verdict=Predicted.DENY, decider="auth-required", domain="authentication")

CELLS: dict[tuple[Endpoint, Vantage], tuple[Verdict, Must, tuple[Layer, ...]]] = {
    (API, PHONE): (Verdict.EXPOSED, Must.BLOCKED, (OPEN_NODE, LOGIN)),
    (API, SHOP): (Verdict.BLOCKED, Must.BLOCKED, (OPEN_NODE, POLICY, LOGIN)),
    (API, OPS): (Verdict.REACHABLE, Must.REACHABLE, (OPEN_NODE, OPEN_POLICY, LOGIN)),
    (ETCD, PHONE): (Verdict.BLOCKED, Must.BLOCKED, (NODE,)),
    (ETCD, SHOP): (Verdict.BLOCKED, Must.BLOCKED, (NODE, POLICY)),
    (ETCD, OPS): (Verdict.BLOCKED, Must.BLOCKED, (UNREAD_NODE, OPEN_POLICY)),
    (KUBELET, PHONE): (Verdict.BLOCKED, Must.BLOCKED, (NODE,)),
    (KUBELET, SHOP): (Verdict.BLOCKED, Must.BLOCKED, (UNREAD_NODE, POLICY)),
    (KUBELET, OPS): (Verdict.DEAD, Must.BLOCKED, (OPEN_NODE, POLICY)),
    (DB, PHONE): (Verdict.UNPROVEN, Must.BLOCKED, (OPEN_NODE,)),
    (DB, SHOP): (Verdict.REACHABLE, Must.ANY, (OPEN_NODE, OPEN_POLICY)),
    (DB, OPS): (Verdict.BLOCKED, Must.BLOCKED, (OPEN_NODE, POLICY)),
    (WEB, PHONE): (Verdict.BROKEN, Must.REACHABLE, (OPEN_NODE, POLICY)),
    (WEB, SHOP): (Verdict.REACHABLE, Must.ANY, (OPEN_NODE, OPEN_POLICY)),
    (WEB, OPS): (Verdict.BLOCKED, Must.ANY, (OPEN_NODE, POLICY)),
}
STATES = {Verdict.EXPOSED: State.OPEN, Verdict.REACHABLE: State.OPEN, Verdict.DEAD: State.CLOSED}


def key_of(target: Endpoint, source: Vantage) -> CellKey:
    return CellKey(target.id, source.id)


def estate() -> Store:
    store = Store()
    store.apply(happened.SessionStarted(at=AT, title="prod-eu", version="0"))
    for target in (API, ETCD, KUBELET, DB, WEB):
        store.apply(happened.EndpointFound(at=AT, endpoint=target))
    for source in (PHONE, SHOP, OPS):
        store.apply(happened.VantageAdded(at=AT, vantage=source))
    for (target, source), (verdict, must, layers) in CELLS.items():
        judge(store, key_of(target, source), verdict, must, layers)
    store.apply(happened.Progress(at=AT, phase="watching"))
    return store


def judge(store: Store, key: CellKey, verdict: Verdict, must: Must, layers: tuple[Layer, ...]) -> None:
    """Answer a cell and judge it."""
    depth = depth_of(layers, verdict)
    judgement = Judgement(
        endpoint=key.endpoint,
        vantage=key.vantage,
        verdict=verdict,
        expectation=Expectation(must=must, source="baseline"),
        prediction=predict(layers),
        layers=layers,
        depth=depth.least,
        depth_max=depth.most,
        sentence=f"{store.endpoints[key.endpoint].name} from {key.vantage}: {verdict.upper()}.",
    )
    observation = answer(key, AT, STATES.get(verdict, State.FILTERED))
    store.apply(happened.CellObserved(at=AT, observation=observation))
    store.apply(happened.CellJudged(at=AT, judgement=judgement))
