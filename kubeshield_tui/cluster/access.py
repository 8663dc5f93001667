"""What we may do, asked before it is tried: SelfSubjectAccessReview changes nothing."""

from __future__ import annotations

from kubeshield_tui.cluster.client import ClusterClient
from kubeshield_tui.errors import ClusterError

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def may(client: ClusterClient, verb: str, resource: str, *, namespace: str = "", group: str = "") -> bool | None:
    """Tell whether we may; None where the server does not say. `resource` may carry a subresource: `pods/exec`."""
    name, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "resource": name, "subresource": subresource, "namespace": namespace, "group": group}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    try:
        told = await client.request("POST", REVIEWS, body=body)
    except ClusterError:
        return None
    status = told.get("status")
    return bool(status.get("allowed")) if isinstance(status, dict) else None
