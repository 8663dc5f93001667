"""The range's API, watched: what it was asked, what it answers instead, and a world with more in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.cluster.client import connect
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.range.api import Api
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.range.world import World
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.vantages import own_pod

Json = dict[str, Any]
Answer = Callable[[web.Request], Any]


class Server:
    """What the range's API was asked; `answer` may answer in its place, or wait."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: Answer | None = None


def watch(monkeypatch: pytest.MonkeyPatch) -> Server:
    """See what the range's API is asked, and let no test wait for a poll."""
    seen = Server()
    real = Api._dispatch

    async def dispatch(self: Api, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:  # ours; probes come as strangers
            seen.asked.append((request.method, request.path))
            if seen.answer is not None and (answer := await seen.answer(request)) is not None:
                assert isinstance(answer, web.StreamResponse)
                return answer
        return await real(self, request)

    monkeypatch.setattr(Api, "_dispatch", dispatch)
    monkeypatch.setattr(own_pod, "POLL_SECONDS", 0.01)
    return seen


def settings(training: TrainingRange, *vantages: str, **others: Any) -> Settings:
    chosen: Json = {
        "kubeconfig": training.kubeconfig,
        "ssh_config": training.ssh_config,
        "vantages": tuple(parse_vantage(text) for text in vantages),
        "discovery": False,
        "pod_settle": 0.0,
        "timing": Timing(timeout=0.2, confirm=0.2),
        **others,
    }
    return Settings(**chosen)


async def all_objects(training: TrainingRange) -> list[str]:
    """All pods and leases that exist, ours or not."""
    client = await connect("range", training.kubeconfig)
    found = []
    for path in ("/api/v1/pods", "/apis/coordination.k8s.io/v1/leases"):
        found += await client.collect(path, lambda raw: f"{raw['metadata']['namespace']}/{raw['metadata']['name']}")
    await client.close()
    return found


def targets(directory: Path, *lines: str) -> Path:
    path = directory / "targets"
    path.write_text("\n".join(lines) + "\n")
    return path


def crowd(monkeypatch: pytest.MonkeyPatch, fill: Callable[[World], None]) -> None:
    """Add to the range's world."""
    real = World._fill

    def filled(self: World) -> None:
        real(self)
        fill(self)

    monkeypatch.setattr(World, "_fill", filled)


def add_namespace(world: World, name: str, phase: str = "Active", **spec: Any) -> None:
    world.put("namespaces", {"metadata": {"name": name}, "status": {"phase": phase}})
    pod = {"metadata": {"namespace": name, "name": "app"}, "spec": {"containers": [], **spec}}
    world.put("pods", {**pod, "status": {"phase": "Running"}})


def add_teams(count: int, world: World) -> None:
    for number in range(count):
        add_namespace(world, f"team-{number:02}")


def add_node(world: World, name: str, ready: str = "True", system: str = "linux", **spec: Any) -> None:
    body = {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": system}},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }
    world.put("nodes", body)
