"""A real cluster that is followed: what comes and goes is seen within two seconds, and only what it concerns asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeshield_tui.cluster import watch as watch_module
from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.cluster.kinds import KINDS
from kubeshield_tui.cluster.kubeconfig import read_kubeconfig
from kubeshield_tui.cluster.watch import Failed, Listed, watch
from kubeshield_tui.engine.plan import out_of_scope
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.query import lost_clusters
from kubeshield_tui.session.session import Session
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings
from tests.cluster import kit

NAMESPACE = "kst-watch"
POD = f"pod:{NAMESPACE}/probe"
SEEN_SECONDS = 2.0


def apply(*objects: dict[str, Any]) -> float:
    """Apply objects; returns when the server had them."""
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    subprocess.run([kit.KIT, "kubectl", "apply", "-f", "-"], input=body, text=True, check=True, capture_output=True)
    return time.time()


def service(name: str, port: int) -> dict[str, Any]:
    spec = {"selector": {"app": "probe"}, "ports": [{"port": port, "targetPort": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


@pytest.fixture(scope="module", autouse=True)
def probe() -> Iterator[None]:
    """A namespace with one pod that serves HTTP, gone afterwards."""
    container = {
        "name": "main",
        "image": "python:3-slim",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "http.server", "8000", "--directory", "/mnt"],
    }
    spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": [container]}
    metadata = {"name": "probe", "namespace": NAMESPACE, "labels": {"app": "probe"}}
    try:
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, service("web", 80))
        kit.kubectl("wait", "-n", NAMESPACE, "pod/probe", "--for=condition=Ready", "--timeout=60s")
        yield
    finally:
        kit.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


class Follower:
    """The product beside the test: its events, folded here too."""

    def __init__(self, *vantages: str) -> None:
        self.store = Store()
        self.events: list[happened.Event] = []
        self.process = subprocess.Popen(
            [kit.KIT, "exec-net", "outside", sys.executable, "-m", "tests.cluster.follow",
             kit.kit("kubeconfig", "--netns"), *vantages],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = happened.decode_event(line)
            self.store.apply(event)
            self.events.append(event)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, "it ended"
            assert time.monotonic() < end, f"waited {seconds} s for: {what}"
            time.sleep(0.02)

    def calm(self) -> None:
        """Wait until nothing was asked for a while, and count from here."""
        quiet = 0
        while quiet < 15:
            before = len(self.events)
            time.sleep(0.1)
            quiet = quiet + 1 if len(self.events) == before else 0
        self.events.clear()

    def seen(self, kind: type[happened.Event], endpoint: str) -> float | None:
        """When an endpoint came or went."""
        for event in list(self.events):
            if isinstance(event, kind):
                about = event.endpoint.id if isinstance(event, happened.EndpointFound) else event.endpoint  # type: ignore[union-attr]
                if about == endpoint:
                    return event.at
        return None

    def wait_for(self, kind: type[happened.Event], endpoint: str, since: float) -> float:
        self.until(lambda: self.seen(kind, endpoint) is not None, f"{kind.__name__} {endpoint}")
        at = self.seen(kind, endpoint)
        assert at is not None
        return at - since

    def asked(self) -> set[CellKey]:
        """Cells that were asked; those of a change that somebody else made at the same time are left out."""
        ours = self.our_rows()
        strangers = any(
            getattr(record, "namespace", NAMESPACE) != NAMESPACE
            for event in self.events
            if isinstance(event, happened.ClusterChanged)
            for kind in ("pods", "services", "backends", "policies")
            for record in getattr(event.inventory, kind)
        )
        asked = {event.key for event in self.events if isinstance(event, happened.CellAsked)}
        return {key for key in asked if not strangers or key.endpoint in ours or key.vantage == POD}

    def our_rows(self) -> set[str]:
        return {known for known, row in self.store.endpoints.items() if row.namespace == NAMESPACE}

    def in_scope(self, *endpoints: str) -> set[CellKey]:
        store = self.store
        return {
            CellKey(known, source.id)
            for known, row in store.endpoints.items()
            for source in store.vantages.values()
            if known in endpoints and not out_of_scope(row, source)
        }

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._reader.join(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def following(probe: None) -> Iterator[Follower]:
    follower = Follower("local", POD)
    try:
        follower.until(
            lambda: follower.store.phase == "watching" and bool(follower.our_rows()), "the first picture", 60
        )
        store = follower.store
        follower.until(lambda: store.answered == store.total, "the first sweep", 60)
        yield follower
    finally:
        follower.close()


def row_of(name: str, port: int) -> str:
    context = read_kubeconfig(Path(kit.kit("kubeconfig", "--netns"))).current
    return f"{context}/{NAMESPACE}/Service/{name}:{port}/tcp"


def test_a_service_is_seen_within_two_seconds_and_only_its_cells_are_asked(
    following: Follower, record_property: Callable[[str, object], None]
) -> None:
    following.calm()
    made = apply(service("new", 81))
    took = {"created": following.wait_for(happened.EndpointFound, row_of("new", 81), made)}
    following.until(lambda: following.asked() == following.in_scope(row_of("new", 81)) != set(), "its cells")
    time.sleep(1)
    assert following.asked() == following.in_scope(row_of("new", 81))

    following.calm()
    changed = apply(service("new", 82))
    took["changed"] = following.wait_for(happened.EndpointFound, row_of("new", 82), changed)
    assert following.seen(happened.EndpointGone, row_of("new", 81)) is not None
    time.sleep(1)
    assert following.asked() == following.in_scope(row_of("new", 82))

    following.calm()
    kit.kubectl("delete", "service", "new", "-n", NAMESPACE, "--wait=false")
    took["deleted"] = following.wait_for(happened.EndpointGone, row_of("new", 82), time.time())
    time.sleep(1)
    assert following.asked() == set()
    record_property("seconds", {step: round(seconds, 2) for step, seconds in took.items()})
    print("seen after", took)
    assert max(took.values()) < SEEN_SECONDS


def test_heartbeats_and_annotations_ask_nothing(following: Follower) -> None:
    following.calm()
    kit.kubectl("annotate", "pod", "probe", "-n", NAMESPACE, "--overwrite", f"beat={time.time()}")
    kit.kubectl("annotate", "node", "node1", "--overwrite", f"kubeshield-test={time.time()}")
    kit.kubectl("annotate", "service", "web", "-n", NAMESPACE, "--overwrite", f"beat={time.time()}")
    time.sleep(12)  # kubelets renew their leases and post their nodes' status meanwhile
    kit.kubectl("annotate", "node", "node1", "kubeshield-test-")
    assert following.asked() == set()


def test_a_policy_asks_its_namespace_both_ways(following: Follower) -> None:
    following.calm()
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "new", "namespace": NAMESPACE},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    }
    apply(policy)
    store = following.store
    expected = following.in_scope(*following.our_rows())
    expected |= {key for key in following.in_scope(*store.endpoints) if key.vantage == POD}
    following.until(lambda: following.asked() >= expected, "the namespace's cells")
    time.sleep(1)
    # Beside them only controls: cells of the other vantage that prove what looks blocked.
    others = following.asked() - expected
    assert {key.vantage for key in others} <= {"local"}
    assert {CellKey(key.endpoint, POD) for key in others} <= expected  # type: ignore[arg-type]
    assert len(others) < len(expected)


def test_a_label_asks_the_rows_and_the_column_of_its_pod(following: Follower) -> None:
    following.calm()
    kit.kubectl("label", "pod", "probe", "-n", NAMESPACE, "tier=front", "--overwrite")
    expected = following.in_scope(*following.our_rows())
    expected |= {key for key in following.in_scope(*following.store.endpoints) if key.vantage == POD}
    following.until(lambda: following.asked() >= expected, "the pod's cells")


# --- watches by themselves: only the API is asked, from this machine


@asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[ClusterClient]:
    client = await connect(read_kubeconfig(path).current, path)
    try:
        yield client
    finally:
        await client.close()


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_what_a_real_server_forgot_is_listed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, told = ClusterClient.snapshot, []
    positions: list[str] = []

    async def snapshot(self: ClusterClient, path: str, make: Any, query: Any = None) -> Any:
        records, position = await real(self, path, make, query)
        positions.append(position if positions else "1")
        return records, positions[-1]

    pods = next(kind for kind in KINDS if kind.name == "pods")
    async with client_of(kit.KUBECONFIG) as client:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/probe"
        for number in range(150):  # more than the server's cache of events holds at first
            pod = await client.request("GET", path)
            pod["metadata"].setdefault("annotations", {})["number"] = str(number)
            await client.request("PUT", path, body=pod)
        monkeypatch.setattr(ClusterClient, "snapshot", snapshot)
        task = asyncio.create_task(watch(client, (pods,), told.append))
        await until(lambda: len(positions) == 2)
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [type(fact) for fact in told[:2]] == [Listed, Listed]
    assert not [fact for fact in told if isinstance(fact, Failed)]
    assert len(positions) == 2


class Relay:
    """A way to the API server that can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._ways: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in [writer for way in self._ways.values() for writer in way]:
            writer.transport.abort()
        await asyncio.gather(*self._ways, return_exceptions=True)
        self._ways.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        task = asyncio.current_task()
        assert task is not None
        self._ways[task] = writer, back
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def test_an_api_that_is_cut_off_is_said_and_comes_back_with_what_happened_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "BACKOFF", (0.2, 0.5))
    config = yaml.safe_load(kit.KUBECONFIG.read_text())
    relay = Relay(int(config["clusters"][0]["cluster"]["server"].rpartition(":")[2]))
    await relay.open()
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    session = Session(Settings(kubeconfig=path))  # no vantage: nothing is probed from this machine
    store, task = session.store, asyncio.create_task(session.run())
    context, late = config["current-context"], row_of("late", 83)
    try:
        await until(lambda: store.phase == "watching")
        rows = set(store.endpoints)
        assert rows
        await relay.cut()
        await until(lambda: context in lost_clusters(store))
        await asyncio.to_thread(apply, service("late", 83))
        await asyncio.sleep(1)
        assert set(store.endpoints) == rows
        await relay.open()
        await until(lambda: not lost_clusters(store) and late in store.endpoints)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await relay.cut()
        kit.kubectl("delete", "service", "late", "-n", NAMESPACE, "--wait=false")
