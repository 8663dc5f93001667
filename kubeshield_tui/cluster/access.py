"""What we may do, asked before it is tried: SelfSubjectAccessReview changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.rights import Right
from kubeshield_tui.errors import ClusterError

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Asked = tuple[Right, str]
"""A right and the namespace that it is asked for, empty for all of them."""
AT_ONCE = 8
"""Reviews that are under way at once."""


class ReviewRefused(ClusterError):  # noqa: N818 - a fact, like the other names of errors.py
    """The server lets this user ask nothing of that kind, or does not know it; `status` is HTTP's, 0 for no answer."""

    def __init__(self, error: ClusterError) -> None:
        super().__init__(error.message, error.hint)
        self.status = error.status if isinstance(error, NotReadable) else 0


async def may(client: ClusterClient, verb: str, resource: str, *, namespace: str = "", group: str = "") -> bool | None:
    """Tell whether we may; None where the server does not say. `resource` may carry a subresource: `pods/exec`.

    Without a namespace: in all of them.
    """
    try:
        return await _ask(client, Right(verb=verb, resource=resource, group=group), namespace)
    except ReviewRefused:
        return None


async def review(client: ClusterClient, asked: Iterable[Asked]) -> dict[Asked, bool | None]:
    """Tell of each right in each namespace whether we have it, None where the server does not say.

    Raises ReviewRefused where not even the first one is answered: then the others are not asked.
    """
    first, *others = dict.fromkeys(asked)
    told = {first: await _ask(client, *first)}
    places = asyncio.Semaphore(AT_ONCE)

    async def one(right: Right, namespace: str) -> bool | None:
        async with places:
            return await may(client, right.verb, right.resource, namespace=namespace, group=right.group)

    answers = await asyncio.gather(*(one(*each) for each in others))
    return {**told, **dict(zip(others, answers, strict=True))}


async def _ask(client: ClusterClient, right: Right, namespace: str) -> bool | None:
    name, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": name,
        "subresource": subresource,
        "namespace": namespace,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    try:
        told = await client.request("POST", REVIEWS, body=body)
    except ClusterError as error:
        raise ReviewRefused(error) from error
    status = told.get("status")
    allowed = status.get("allowed") if isinstance(status, dict) else None
    if allowed is False and isinstance(status, dict) and status.get("evaluationError") and not status.get("denied"):
        return None  # an authorizer that could not look is no refusal
    return allowed if isinstance(allowed, bool) else None
