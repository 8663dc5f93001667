"""The range's Kubernetes API: real HTTP over TLS on loopback, for the product, for kubectl and for the probes alike.

Strangers meet what a hardened server shows them: /version answers anybody, everything else is 403 for system:anonymous
and 401 for a wrong token.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from kubeshield_tui.range.exec import Executor, exec_in_pod
from kubeshield_tui.range.restricted import violations
from kubeshield_tui.range.scenario import Json
from kubeshield_tui.range.world import CLUSTER_SCOPED, KINDS, SHORT_NAMES, Expired, World

PUBLIC = frozenset({"/version", "/healthz", "/livez", "/readyz"})
USER = "kubeshield"
WATCH_SECONDS = 300.0
"""How long a watch is held that names no time itself."""
BOOKMARK_SECONDS = 30.0
VERBS = ["create", "delete", "get", "list", "update", "watch"]
GROUPS = (
    "networking.k8s.io",
    "discovery.k8s.io",
    "coordination.k8s.io",
    "admissionregistration.k8s.io",
    "apiregistration.k8s.io",
    "authorization.k8s.io",
    "authentication.k8s.io",
)


class Api:
    """The server; `start` binds it to a free port of loopback."""

    def __init__(self, world: World, token: str, executor: Executor) -> None:
        self._world = world
        self._token = token
        self._executor = executor
        self._runner: web.AppRunner | None = None

    async def start(self, context: ssl.SSLContext) -> tuple[str, int]:
        """Serve; returns host and port."""
        app = web.Application(middlewares=[self._authenticate])
        app.router.add_route("*", "/{path:.*}", self._dispatch)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context, backlog=1024)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return str(host), int(port)

    async def close(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _authenticate(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if given and not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return status(401, "Unauthorized", "Unauthorized")
        if not given and request.path not in PUBLIC:
            message = f'forbidden: User "system:anonymous" cannot {request.method.lower()} path "{request.path}"'
            return status(403, "Forbidden", message)
        return await handler(request)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        parts = [part for part in request.path.split("/") if part]
        match parts:
            case ["healthz" | "livez" | "readyz"]:
                return web.Response(text="ok")
            case ["version"]:
                return self._version()
            case ["api"]:
                return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
            case ["api", "v1"]:
                return self._resources("v1")
            case ["apis"]:
                return web.json_response(
                    {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in GROUPS]}
                )
            case ["apis", group, "v1"] if group in GROUPS:
                return self._resources(f"{group}/v1")
            case ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] if request.method == "POST":
                return await self._review(request, {"allowed": True, "reason": "the training range allows it"})
            case ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"] if request.method == "POST":
                return await self._review(request, {"userInfo": {"username": USER, "groups": ["system:authenticated"]}})
            case ["api", "v1", *rest] | ["apis", _, "v1", *rest]:
                return await self._resource(request, rest)
        return status(404, "NotFound", "the server could not find the requested resource")

    async def _resource(self, request: web.Request, rest: list[str]) -> web.StreamResponse:
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, sub = [*rest, "", ""][:3]
        if plural not in KINDS:
            return status(404, "NotFound", "the server could not find the requested resource")
        if sub == "exec" and plural == "pods":
            pod = self._world.objects["pods"].get((namespace, name))
            return (
                status(404, "NotFound", f'pods "{name}" not found')
                if pod is None
                else await exec_in_pod(request, pod, self._executor)
            )
        if sub:
            return status(404, "NotFound", f"the range has no {plural}/{sub}")
        if not name:
            return await self._collection(request, plural, namespace)
        return await self._single(request, plural, ("" if plural in CLUSTER_SCOPED else namespace, name))

    async def _collection(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        if request.method == "POST":
            return await self._create(request, plural, namespace)
        if request.method != "GET":
            return status(405, "MethodNotAllowed", "the range allows GET and POST here")
        labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")

        def wanted(body: Json) -> bool:
            in_namespace = not namespace or body["metadata"].get("namespace") == namespace
            return in_namespace and _matches(body, labels) and _fields_match(body, fields)

        found = list(filter(wanted, self._world.objects[plural].values()))
        if request.query.get("watch") in {"1", "true"}:
            return await self._watch(request, plural, found, wanted)
        limit, begin = int(request.query.get("limit") or 0), int(request.query.get("continue") or 0)
        page = found[begin : begin + limit] if limit else found
        metadata = {"resourceVersion": self._world.version()}
        if limit and begin + limit < len(found):
            metadata["continue"] = str(begin + limit)
        api_version, kind = KINDS[plural]
        return web.json_response(
            {"kind": f"{kind}List", "apiVersion": api_version, "metadata": metadata, "items": page}
        )

    async def _watch(
        self, request: web.Request, plural: str, found: list[Json], wanted: Callable[[Json], bool]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        since = int(request.query.get("resourceVersion") or 0)
        try:
            queue = self._world.watch(plural, since or None)
        except Expired as error:
            await response.prepare(request)
            await response.write(_line("ERROR", failure(410, "Expired", str(error))))
            return response
        seconds = float(request.query.get("timeoutSeconds") or WATCH_SECONDS)
        bookmarks = request.query.get("allowWatchBookmarks") in {"1", "true"}
        try:
            await response.prepare(request)
            for body in found if not since else ():
                await response.write(_line("ADDED", body))
            async for event in self._events(plural, queue, seconds):
                if wanted(event["object"]) if event["type"] != "BOOKMARK" else bookmarks:
                    await response.write(_line(event["type"], event["object"]))
        except ConnectionError:
            pass  # who watched went away
        finally:
            self._world.unwatch(plural, queue)
        return response

    async def _events(self, plural: str, queue: asyncio.Queue[Json], seconds: float) -> AsyncIterator[Json]:
        """What happens for so long, with a bookmark now and then and one at the end."""
        end = time.monotonic() + seconds
        api_version, kind = KINDS[plural]
        while (left := end - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, BOOKMARK_SECONDS)):
                    event = await queue.get()
            except TimeoutError:
                at = {"resourceVersion": self._world.version()}
                event = {"type": "BOOKMARK", "object": {"apiVersion": api_version, "kind": kind, "metadata": at}}
            yield event

    async def _create(self, request: web.Request, plural: str, namespace: str) -> web.Response:
        if plural not in {"pods", "leases"}:
            return status(403, "Forbidden", "the range creates pods and leases only")
        body = await _json(request)
        name = str(body.get("metadata", {}).get("name", ""))
        body.setdefault("metadata", {})["namespace"] = namespace
        if ("", namespace) not in self._world.objects["namespaces"]:
            return status(404, "NotFound", f'namespaces "{namespace}" not found')
        if (namespace, name) in self._world.objects[plural]:
            return status(409, "AlreadyExists", f'{plural} "{name}" already exists')
        if plural == "leases":
            return web.json_response(self._world.put("leases", body), status=201)
        wrong = violations(body.get("spec", {}))
        if wrong:
            message = f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": {", ".join(wrong)}'
            return status(403, "Forbidden", message)
        return web.json_response(self._world.run_pod(body), status=201)

    async def _single(self, request: web.Request, plural: str, key: tuple[str, str]) -> web.Response:
        body = self._world.objects[plural].get(key)
        if body is None:
            return status(404, "NotFound", f'{plural} "{key[1]}" not found')
        if request.method == "GET":
            return web.json_response(body)
        if request.method == "DELETE" and plural in {"pods", "leases"}:
            self._world.remove(plural, key)
            # What has no grace to wait for is gone at once, and the answer says so.
            return web.json_response({"kind": "Status", "status": "Success"} if plural == "leases" else body)
        if request.method == "PUT" and plural == "leases":
            return web.json_response(self._world.put("leases", await _json(request)))
        return status(405, "MethodNotAllowed", f"the range does not allow {request.method} on {plural}")

    async def _review(self, request: web.Request, answer: Json) -> web.Response:
        return web.json_response({**await _json(request), "status": answer}, status=201)

    def _version(self) -> web.Response:
        version = self._world.scenario.version
        major, minor = version.removeprefix("v").split(".")[:2]
        return web.json_response({"major": major, "minor": minor, "gitVersion": version, "platform": "linux/amd64"})

    def _resources(self, group_version: str) -> web.Response:
        listed: list[Json] = [
            {
                "name": plural,
                "singularName": kind.lower(),
                "namespaced": plural not in CLUSTER_SCOPED,
                "kind": kind,
                "verbs": VERBS,
                **({"shortNames": [SHORT_NAMES[plural]]} if plural in SHORT_NAMES else {}),
            }
            for plural, (api_version, kind) in KINDS.items()
            if api_version == group_version
        ]
        if group_version == "v1":
            listed.append({"name": "pods/exec", "singularName": "", "namespaced": True, "kind": "PodExecOptions",
                           "verbs": ["create", "get"]})  # fmt: skip
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}
        return web.json_response(body)


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}


def failure(code: int, reason: str, message: str) -> Json:
    """A Status object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def status(code: int, reason: str, message: str) -> web.Response:
    """A Status object as the API server answers what it refuses."""
    return web.json_response(failure(code, reason, message), status=code)


def _line(event: str, body: Json) -> bytes:
    return json.dumps({"type": event, "object": body}).encode() + b"\n"


def _group(name: str) -> Json:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _matches(body: Json, selector: str) -> bool:
    labels = body["metadata"].get("labels", {})
    return all(labels.get(key.strip()) == value.strip("= ") for key, _, value in _pairs(selector))


def _fields_match(body: Json, selector: str) -> bool:
    metadata = body["metadata"]
    known = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    known["spec.nodeName"] = body.get("spec", {}).get("nodeName", "")
    return all(known.get(key.strip()) == value.strip("= ") for key, _, value in _pairs(selector))


def _pairs(selector: str) -> list[tuple[str, str, str]]:
    return [part.partition("=") for part in selector.split(",") if "=" in part]
