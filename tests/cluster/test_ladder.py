"""Pods without Python on a real cluster: which rung asks, that it sees what Python beside it sees, what it costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.cluster.kubeconfig import read_kubeconfig
from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.model.vantage import VantageFacts, parse_vantage
from kubeshield_tui.vantages import pod as pod_module
from kubeshield_tui.vantages.pod import PodVantage
from tests.cluster import kit

NAMESPACE = "shop"
BOX = {"name": "box", "image": "busybox:1.36", "command": ["sleep", "600"]}
PYTHON = {"name": "python", "image": "python:3-slim", "command": ["sleep", "600"]}
PAUSE = {"name": "pause", "image": "pause:3"}
PODS = {"ladder-box": [BOX], "ladder-python": [PYTHON], "ladder-two": [PAUSE, BOX], "ladder-pause": [PAUSE]}


@pytest.fixture(scope="module", autouse=True)
def pods() -> Iterator[None]:
    """Four pods in one namespace, removed at the end."""
    for name, containers in PODS.items():
        made = [{**container, "imagePullPolicy": "IfNotPresent"} for container in containers]
        spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": made}
        overrides = json.dumps({"spec": spec})
        kit.kubectl(
            "run", name, "-n", NAMESPACE, "--image", "busybox:1.36", "--restart=Never", "--overrides", overrides
        )
    try:
        for name in PODS:
            kit.kubectl("wait", "-n", NAMESPACE, f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        yield
    finally:
        kit.kubectl("delete", "pod", "-n", NAMESPACE, "--now", *PODS)


class Counter:
    """Counts requests to the API."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def wrap(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*given: Any, **named: Any) -> Any:
            self.made.append(name)
            return await call(*given, **named)

        return counted


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    made = Counter()
    monkeypatch.setattr(pod_module, "exec_in_pod", made.wrap("exec", pod_module.exec_in_pod))
    monkeypatch.setattr(ClusterClient, "request", made.wrap("request", ClusterClient.request))
    return made


@asynccontextmanager
async def opened(pod: str, image: str = "python:3-slim") -> AsyncIterator[tuple[PodVantage, VantageFacts]]:
    client = await connect(read_kubeconfig(kit.KUBECONFIG).current, kit.KUBECONFIG)
    spec = parse_vantage(f"pod:{NAMESPACE}/{pod}" if pod else f"pod:{NAMESPACE}")
    point = PodVantage(spec, client, image=image, settle=1.0, report=lambda _: None)
    try:
        yield point, await point.open()
    finally:
        await point.close()
        await client.close()


def probe(host: str, port: int, timing: Timing | None = None) -> Probe:
    return Probe(
        endpoint=EndpointId(f"{host}:{port}"),
        vantage=VantageId("pod"),
        host=host,
        port=port,
        timing=timing or Timing(timeout=1.5, confirm=1.5),
    )


async def ask(point: PodVantage, targets: Sequence[tuple[str, int]]) -> list[Observation]:
    return list(await asyncio.gather(*(point.ask(probe(*target)) for target in targets)))


def guarded() -> str:
    """Address of a pod that policies keep this namespace away from."""
    return kit.kubectl("get", "pods", "-n", "payments", "-l", "app=ledger", "-o", "jsonpath={.items[0].status.podIP}")


async def test_busybox_sees_what_python_sees_of_four_hundred_targets_for_few_requests(counter: Counter) -> None:
    targets = [("172.30.0.1", 10250), ("172.30.0.2", 10250), ("10.96.0.1", 443), (guarded(), 8080)]
    targets += [(f"172.30.0.{1 + number % 2}", 20000 + number) for number in range(396)]
    seen = {}
    for pod, runner in (("ladder-python", "python 3."), ("ladder-box", "nc of busybox: no python3 on shop/ladder-box")):
        counter.made.clear()
        async with opened(pod) as (point, facts):
            assert facts.runner.startswith(runner)
            seen[pod] = [(each.state, each.reason) for each in await ask(point, targets)]
            assert len(counter.made) <= 12, counter.made
    assert seen["ladder-box"] == seen["ladder-python"]
    assert [state for state, _ in seen["ladder-box"][:4]] == [State.OPEN, State.OPEN, State.OPEN, State.FILTERED]
    assert set(seen["ladder-box"][4:]) == {(State.CLOSED, Reason.CONN_REFUSED)}


async def test_a_container_that_has_nothing_is_passed_over_for_one_that_has() -> None:
    async with opened("ladder-two") as (point, facts):
        assert facts.runner.startswith("nc of busybox")
        assert facts.cannot_see
        assert [each.state for each in await ask(point, [("172.30.0.1", 10250)])] == [State.OPEN]


async def test_a_pod_that_has_nothing_says_what_was_tried_and_what_helps() -> None:
    with pytest.raises(VantageError) as caught:
        async with opened("ladder-pause"):
            pass
    for word in ("container pause", "no python3", "no sh", "nmap, bash or nc"):
        assert word in caught.value.message
    assert f"pod:{NAMESPACE}" in caught.value.hint


async def test_a_pod_that_is_deleted_in_the_middle_is_lost() -> None:
    kit.kubectl("run", "ladder-gone", "-n", NAMESPACE, "--image", "busybox:1.36", "--image-pull-policy=IfNotPresent",
                "--restart=Never", "--", "sleep", "600")  # fmt: skip
    kit.kubectl("wait", "-n", NAMESPACE, "pod/ladder-gone", "--for=condition=Ready", "--timeout=60s")
    async with opened("ladder-gone") as (point, _):
        patient = Timing(timeout=30.0, confirm=30.0)
        asking = [asyncio.create_task(point.ask(probe(guarded(), 8080, patient))) for _ in range(20)]
        await asyncio.to_thread(kit.kubectl, "delete", "pod", "-n", NAMESPACE, "--now", "ladder-gone")
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in answers} == {VantageLost}


async def test_an_own_pod_of_an_image_without_python_asks() -> None:
    async with opened("", image="busybox:1.36") as (point, facts):
        assert facts.runner.startswith("nc of busybox")
        assert facts.created
        assert [each.state for each in await ask(point, [("172.30.0.1", 10250)])] == [State.OPEN]
    assert kit.own_objects() == []


async def test_programs_run_where_the_pod_asks() -> None:
    async with opened("ladder-python") as (point, _):
        done = await point.run(["python3", "-c", "import sys; print('x' * 9); sys.exit(3)"], timeout=20, limit=100)
        assert done.stdout == b"xxxxxxxxx\n"
        assert b"exit code 3" in done.stderr
        missing = await point.run(["no-such-nmap"], timeout=20, limit=100)
        assert missing.stdout == b""
        assert b"executable file" in missing.stderr
        with pytest.raises(VantageError, match="not done within"):
            await point.run(["sleep", "30"], timeout=1, limit=100)
