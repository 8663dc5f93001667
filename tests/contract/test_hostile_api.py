"""Discovery against servers that answer anything: what can't be read is said, the rest is there, nothing is fatal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.cluster.client import connect
from kubeshield_tui.cluster.kinds import KINDS
from kubeshield_tui.discovery.discover import Discovery, discover
from tests.unit.raw_objects import behind, node, pod, service

Answer = Callable[[str], web.Response]
"""Path of a list to what is answered."""


@asynccontextmanager
async def api(answer: Answer) -> AsyncIterator[str]:
    """A server whose /version is as it should be and whose lists are not."""

    async def handle(request: web.Request) -> web.Response:
        if request.path == "/version":
            return web.json_response({"gitVersion": "v1.33.4"})
        return answer(request.path)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def discovered(answer: Answer, folder: Path) -> Discovery:
    async with api(answer) as server:
        config: dict[str, Any] = {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config))
        client = await connect("c", path)
        try:
            return await discover(client)
        finally:
            await client.close()


def listing(*items: Any, **more: Any) -> web.Response:
    return web.json_response({"kind": "List", "items": list(items), **more})


WRONG: dict[str, Callable[[], web.Response]] = {
    "a page": lambda: web.Response(text="<!doctype html><title>Log in</title>\x1b[2J", content_type="text/html"),
    "a page as an error": lambda: web.Response(
        status=502, text="<html>Bad gateway\x1b]0;x\x07", content_type="text/html"
    ),
    "nothing": lambda: web.Response(text=""),
    "half an object": lambda: web.Response(text='{"items": [{"metadata": {"na'),
    "a nest": lambda: web.Response(text='{"items":' + "[" * 200_000),
    "a list": lambda: web.json_response([1, 2]),
    "bytes": lambda: web.Response(body=b'\xff\xfe{"items": []}'),
    "no such group": lambda: web.json_response({"kind": "Status", "reason": "NotFound", "code": 404}, status=404),
    "words of its own": lambda: web.json_response({"message": "no \x1b[31mway", "code": 403.5}, status=418),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_what_is_no_list_is_said_of_every_kind(kind: str, tmp_path: Path) -> None:
    found = await discovered(lambda _: WRONG[kind](), tmp_path)
    what = {denied.what for denied in found.denied}
    assert what == {"list /apis"} | {f"list {version.resource}" for each in KINDS for version in each.versions}
    assert all(denied.why and denied.why.isprintable() for denied in found.denied)
    # The kubeconfig alone names the API; clouds' addresses need no cluster to be known.
    assert {each.group for each in found.endpoints} == {"control plane", "cloud metadata"}


@pytest.mark.parametrize(
    "items", [None, {}, "x", 7, [None, 7, "x", [], {}, {"metadata": None}, {"metadata": {"name": 7}}]]
)
async def test_lists_of_something_else_are_empty(items: object, tmp_path: Path) -> None:
    found = await discovered(lambda _: web.json_response({"items": items, "metadata": items}), tmp_path)
    assert found.denied == ()
    assert (found.inventory.pods, found.inventory.services, found.inventory.nodes) == ((), (), ())


async def test_ten_megabytes_of_annotations_cost_their_object_nothing(tmp_path: Path) -> None:
    huge = {"example.org/blob": "x" * 10_000_000}
    named = pod("p-1", "10.244.0.1", metadata={"annotations": huge})

    def answer(path: str) -> web.Response:
        match path:
            case "/api/v1/pods":
                return listing(named, pod("p-2", "10.244.0.2"))
            case "/api/v1/services":
                web_service = service({"clusterIP": "10.96.0.5", "ports": [{"port": 80}]})
                web_service["metadata"]["annotations"] = huge
                return listing(web_service)
        return listing()

    found = await discovered(answer, tmp_path)
    assert [each.name for each in found.inventory.pods] == ["p-1", "p-2"]
    assert "c/shop/Service/web:80/tcp" in {each.id for each in found.endpoints}
    assert found.denied == ()


async def test_names_that_would_drive_a_terminal_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    name = "\x1b]0;owned\x07\x1b[2J\u202eevil"

    def answer(path: str) -> web.Response:
        match path:
            case "/api/v1/nodes":
                return listing(node(name, "10.0.0.11", labels={name: name}))
            case "/api/v1/pods":
                return listing(
                    pod(name, "10.0.0.11", {"containerPort": 80, "name": name}, namespace=name, hostNetwork=True)
                )
            case "/api/v1/services":
                return listing(service({"clusterIP": "10.96.0.5", "ports": [{"port": 80, "name": name}]}, name=name))
        return listing()

    found = await discovered(answer, tmp_path)
    assert any("owned" in each.name for each in found.endpoints)
    for each in found.endpoints:
        assert (each.id + each.name + each.namespace + each.object + each.source + each.group).isprintable()


async def test_half_a_character_in_one_object_hides_no_other(tmp_path: Path) -> None:
    def answer(path: str) -> web.Response:
        if path != "/api/v1/pods":
            return listing()
        broken = pod("p-1", "10.244.0.1", metadata={"labels": {"half": "HALF"}})
        text = json.dumps({"items": [broken, pod("p-2", "10.244.0.2")]}).replace("HALF", "\\ud800")
        return web.Response(text=text, content_type="application/json")

    found = await discovered(answer, tmp_path)
    assert [each.name for each in found.inventory.pods] == ["p-1", "p-2"]
    assert found.inventory.pods[0].labels == (("half", "\N{REPLACEMENT CHARACTER}"),)


@pytest.mark.parametrize("served", ["/apis/discovery.k8s.io/v1beta1/endpointslices", "/api/v1/endpoints"])
async def test_an_older_server_is_read_in_its_own_api(served: str, tmp_path: Path) -> None:
    def answer(path: str) -> web.Response:
        if path == served:
            subset = {"addresses": [{"ip": "10.0.0.11"}], "ports": [{"port": 6443}]}
            endpoints = {"metadata": {"name": "kubernetes", "namespace": "default"}, "subsets": [subset]}
            slices = behind("kubernetes", ("", "10.0.0.11"), port=6443, namespace="default")
            return listing(endpoints if served.endswith("/endpoints") else slices)
        return listing() if path.startswith("/api/v1/") and path != "/api/v1/endpoints" else WRONG["no such group"]()

    found = await discovered(answer, tmp_path)
    assert "c/kube-apiserver/Endpoints@10.0.0.11:6443/tcp" in {each.id for each in found.endpoints}
    assert not [denied for denied in found.denied if "endpoint" in denied.what]


async def test_a_list_whose_token_expires_is_begun_anew(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(path: str) -> web.Response:
        if path != "/api/v1/pods":
            return listing()
        asked.append(path)
        if len(asked) == 1:
            return listing(pod("old", "10.244.0.1"), metadata={"continue": "next"})
        if len(asked) == 2:
            return web.json_response({"kind": "Status", "reason": "Expired", "code": 410}, status=410)
        return listing(pod("new", "10.244.0.2"))

    found = await discovered(answer, tmp_path)
    assert [each.name for each in found.inventory.pods] == ["new"]
