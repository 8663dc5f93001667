"""Cells in the middle of their story, for tests of the page of one: policies say no, and the answer says yes."""

from __future__ import annotations

from msgspec.structs import replace
from textual.pilot import Pilot

from kubeshield_tui.judgement.chain import next_decider, predict
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.expectation import Expectation, Must, Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, FindingId
from kubeshield_tui.model.observation import Attempt, HttpExchange, Observation, Posture, Reason, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Comparison, Judgement, Layer, Verdict
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.page.cell import cell_page
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.screens.cell import CellScreen
from kubeshield_tui.ui.symbols import UNICODE, Alphabet
from kubeshield_tui.ui.widgets.pager import Line, Pager
from tests.ui.stage import FakeSession, ready
from tests.unit.estate import answer
from tests.unit.policed import API_FROM_WEB, AT, DENY_ALL, OPS, POD, estate

NOW = AT + 12
KEY = CellKey(POD.id, OPS.id)
HOLDS = Layer(
    layer="authentication", verdict=Predicted.DENY, decider="auth-required, as seen from pod:ops/ops-0",
    domain="authentication",
)  # fmt: skip
NOT_ENFORCED = Judgement(
    endpoint=KEY.endpoint,
    vantage=KEY.vantage,
    verdict=Verdict.EXPOSED,
    expectation=Expectation(must=Must.BLOCKED, source='baseline "databases are for their own namespace"'),
    comparison=Comparison(code="not-enforced", sentence="the policy says deny, and the connection got through"),
    depth=1,
    depth_max=1,
)
"""Its layers are those of the estate that it is put in."""
FINDING = Finding(
    id=FindingId("f1"),
    code="not-enforced",
    severity=Severity.CRITICAL,
    title="policies are not enforced on n1",
    because=("NetworkPolicy payments/default-deny denies it", "open from pod:ops/ops-0"),
    verify=("kubectl --context prod -n payments exec ops-0 -- nc -z -w 3 10.244.1.7 8080",),
    remedy="Start the policy agent on n1.",
    endpoint=KEY.endpoint,
    vantage=KEY.vantage,
)


def not_enforced() -> Store:
    """Policies isolate the pod, and it answers all the same; it was silent before."""
    store = estate(DENY_ALL, API_FROM_WEB)
    before = answer(KEY, AT - 300, State.FILTERED)
    asked = HttpExchange(method="GET", path="/version", status=401, reason="Unauthorized")
    now = replace(
        answer(KEY, AT, State.OPEN, posture=Posture.AUTH_REQUIRED),
        latency_ms=1.0,
        http=(asked,),
        attempts=(Attempt(state=State.OPEN, reason=Reason.SYN_ACK, ms=1.0),) * 2,
    )
    judge(store, replace(NOT_ENFORCED, verdict=Verdict.BLOCKED, comparison=Comparison()), before)
    judge(store, NOT_ENFORCED, now)
    store.apply(happened.FindingRaised(at=AT, finding=FINDING))
    return store


def judge(store: Store, judgement: Judgement, observation: Observation) -> None:
    """Put an answer and its judgement into a store, with the layers that are on its way there."""
    layers = judgement.layers or (*chains_of(store).of(judgement.key).layers, HOLDS)
    judgement = replace(judgement, layers=layers, prediction=predict(layers), next_decider=next_decider(layers))
    store.apply(happened.CellObserved(at=observation.at, observation=observation))
    store.apply(happened.CellJudged(at=observation.at, judgement=judgement))


def chains_of(store: Store) -> Chains:
    return Chains(store, Worlds(store), Firewalls(store), Settings())


def view_of(
    store: Store, key: CellKey = KEY, width: int = 120, *, raw: bool = False, alphabet: Alphabet = UNICODE
) -> CellView:
    exact = chains_of(store).exactly(key).layers
    return CellView(store, Firewalls(store), Worlds(store), key, NOW, width, raw, alphabet, exact)


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def page_text(store: Store, key: CellKey = KEY, width: int = 120, **more: bool) -> str:
    return text_of(cell_page(view_of(store, key, width, **more)))


async def open_page(pilot: Pilot[str], session: FakeSession, key: CellKey = KEY) -> Pager:
    """Open a cell's page over whatever stands there; returns once it is drawn."""
    await ready(pilot)
    await pilot.app.push_screen(CellScreen(session, key))
    await pilot.pause()
    return pilot.app.screen.query_one(Pager)
