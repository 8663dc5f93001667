"""An RBAC authorizer in front of the range's API: what no role grants is forbidden, and which rules were used is kept.

Request to verb and resource as the API server does it. Source: kubernetes.io, "Authorization", request attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from aiohttp import web

from kubeshield_tui.cluster.access import REVIEWS
from kubeshield_tui.range.api import status

Json = dict[str, Any]
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class Grant(NamedTuple):
    """One verb on one resource, in one namespace or (empty) everywhere."""

    namespace: str
    verb: str
    group: str
    resource: str


def grants(roles: Iterable[Json]) -> Iterator[Grant]:
    """What role objects come to."""
    for role in roles:
        for rule in role.get("rules", ()):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        yield Grant(role["metadata"].get("namespace", ""), verb, group, resource)


class Authorizer:
    """Answers in the API's place where it refuses. A ClusterRole counts as bound to the whole cluster."""

    def __init__(self, granted: Iterable[Grant], *, asks_create_of_exec: bool = True) -> None:
        self.granted = frozenset(granted)
        self.used: set[Grant] = set()
        self.refused: list[Grant] = []
        self.outside: set[tuple[str, str]] = set()
        """Requests that are about no resource of a rule: (method, path)."""
        self.reviewed = 0
        self._asks_create_of_exec = asks_create_of_exec

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        if request.path == REVIEWS:
            self.reviewed += 1
            return await self._review(request)
        asked = list(self._asked(request))
        if not asked:
            self.outside.add((request.method, request.path))
            return None
        for each in asked:
            found = self._granting(each)
            if found is None:
                self.refused.append(each)
                message = f'User "auditor" cannot {each.verb} resource "{each.resource}" in API group "{each.group}"'
                return status(403, "Forbidden", message)
            self.used.add(found)
        return None

    def _granting(self, asked: Grant) -> Grant | None:
        for namespace in ("", asked.namespace):
            if (found := asked._replace(namespace=namespace)) in self.granted:
                return found
        return None

    def _asked(self, request: web.Request) -> Iterator[Grant]:
        match [part for part in request.path.split("/") if part]:
            case ["api", "v1", *rest]:
                group = ""
            case ["apis", group, _, *rest]:
                pass
            case _:
                return
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        resource, name, subresource = [*rest, "", ""][:3]
        full = f"{resource}/{subresource}" if subresource else resource
        if request.method == "GET":
            verb = "get" if name else "watch" if request.query.get("watch") in {"1", "true"} else "list"
        elif request.method == "DELETE":
            verb = "delete" if name else "deletecollection"
        else:
            verb = VERBS[request.method]
        yield Grant(namespace, verb, group, full)
        if full == "pods/exec" and verb == "get" and self._asks_create_of_exec:
            yield Grant(namespace, "create", group, full)

    async def _review(self, request: web.Request) -> web.Response:
        body = await request.json()
        asked = body["spec"]["resourceAttributes"]
        sub = f"/{asked['subresource']}" if asked.get("subresource") else ""
        grant = Grant(asked.get("namespace", ""), asked["verb"], asked.get("group", ""), asked["resource"] + sub)
        return web.json_response({**body, "status": {"allowed": self._granting(grant) is not None}}, status=201)
