"""A hand-fed store and a fake session (named so) to put screens on: no engine runs, nothing moves by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from textual.pilot import Pilot

from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Posture, Reason, State
from kubeshield_tui.model.vantage import Vantage, VantageStatus, Zone
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.doors import ClusterWait
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.remedies import Remedies
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.app import KubeShieldApp
from tests.unit.estate import answer, endpoint, vantage

ENDPOINTS = [
    endpoint("kube-apiserver", component="kube-apiserver", port=6443),
    endpoint("kubelet n1", component="kubelet", host="10.0.0.11", port=10250),
    *(endpoint(f"svc-{number:02}", host=f"10.96.0.{number}", port=80) for number in range(1, 19)),
    endpoint("must-answer", host="198.51.100.9", port=443, declared="reachable"),
]
VANTAGES = [
    vantage("ssh:phone", Zone.OUTSIDE),
    vantage("local"),
    vantage("ssh:jump"),
    vantage("pod:shop"),
    vantage("pod:payments"),
    vantage("pod:ops"),
    vantage("pod:shop/web-0"),
    vantage("ssh:gone", status=VantageStatus.LOST),
]
STATES = [State.OPEN, State.FILTERED, State.OPEN, State.CLOSED, State.FILTERED, State.OPEN, State.OPEN, State.LOST]


def story(endpoints: Iterable[object] = (), vantages: Iterable[Vantage] = ()) -> Store:
    """An estate that shows every verdict but `dead` nowhere twice."""
    store = Store()
    store.apply(happened.SessionStarted(at=1000, title="prod-eu", version="0"))
    for each in endpoints or ENDPOINTS:
        store.apply(happened.EndpointFound(at=1000, endpoint=each))  # type: ignore[arg-type]
    for source in vantages or VANTAGES:
        store.apply(happened.VantageAdded(at=1000, vantage=source))
    feed(store)
    store.apply(happened.Progress(at=1010, phase="watching"))
    return store


def feed(store: Store) -> None:
    judge = Judge(store.endpoints, store.vantages)
    keys = [CellKey(target, source) for target in store.endpoints for source in store.vantages]
    for number, key in enumerate(keys):
        row, column = divmod(number, len(store.vantages))
        state = STATES[(column + row) % len(STATES)] if row % 5 else STATES[column % len(STATES)]
        if row == 4:
            state = State.CLOSED  # dead
        observation = answer(key, 1001 + number / 1000, state, posture=Posture.AUTH_REQUIRED)
        store.apply(happened.CellObserved(at=1001, observation=observation))
        for touched in judge.tell(observation):
            outcome = judge.judge(touched)
            if outcome is not None:
                store.apply(happened.CellJudged(at=1001, judgement=outcome.judgement))
                for finding in outcome.findings:
                    store.apply(happened.FindingRaised(at=1001, finding=finding))
    last = keys[-1]
    store.apply(
        happened.CellUntested(
            at=1002, endpoint=last.endpoint, vantage=last.vantage, reason=Reason.OUT_OF_SCOPE, why="another target"
        )
    )


class FakeSession:
    """A fake SessionControl: notes what it is asked."""

    def __init__(self, store: Store, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.store = store
        self.asked: list[tuple[CellKey, ...]] = []
        self.closed = 0
        self.ran = 0
        self.tested: list[str] = []
        self.heard: tuple[CellKey, ...] = ()
        self.inspected: CellKey | None = None
        self.firewalls = Firewalls(store)
        self.worlds = Worlds(store)
        self.chains = Chains(store, self.worlds, self.firewalls, self.settings)
        self.remedies = Remedies(self, lambda: ClusterWait(()), store.apply)
        self.read: list[tuple[CellKey, bool]] = []
        self.watched: list[tuple[CellKey, bool]] = []

    async def run(self) -> None:
        self.ran += 1
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        self.closed += 1

    def ask_again(self, keys: Iterable[CellKey]) -> int:
        self.asked.append(tuple(keys))
        return len(self.asked[-1])

    def pause(self, paused: bool) -> None:
        self.store.apply(happened.Paused(at=1011, paused=paused))

    async def self_test(self, cluster: str) -> None:
        self.tested.append(cluster)

    async def hear_opinions(self, keys: Iterable[CellKey]) -> None:
        self.heard = tuple(keys)

    async def inspect(self, key: CellKey) -> None:
        self.inspected = key

    async def read_rules(self, key: CellKey, *, with_pods: bool = False) -> None:
        self.read.append((key, with_pods))

    async def witness(self, key: CellKey, *, with_pods: bool = False) -> None:
        self.watched.append((key, with_pods))


def app_on(session: FakeSession, **keywords: object) -> KubeShieldApp:
    return KubeShieldApp(session.settings, lambda _: session, None, **keywords)  # type: ignore[arg-type]


def screen_text(app: KubeShieldApp) -> str:
    """What the terminal would show, line by line."""
    width, height = app.size
    lines = app.screen._compositor.render_strips() if hasattr(app.screen._compositor, "render_strips") else []
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)[: width * height * 2 + height]


async def until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again until a condition holds."""
    try:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited for: {what}") from None


async def ready(pilot: Pilot[str]) -> None:
    """Wait until the first screen stands: the app draws its name first and loads the rest after."""
    await until(lambda: len(pilot.app.screen_stack) > 1, "the first screen")
    await pilot.pause()
