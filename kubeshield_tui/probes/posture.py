"""What an application asks of a stranger, read from the safe answers it gave. Pure.

Sources: the Kubernetes documentation on kubelet and API authentication (401: anonymous off; 403: anonymous on but not
authorised), RFC 9110 for status codes, RFC 8446 for TLS alerts.
"""

from __future__ import annotations

from kubeshield_tui.model.observation import HttpExchange, Posture, State, TlsFacts

PUBLIC_PATHS = ("/version", "/healthz", "/livez", "/readyz", "/health")
"""Paths that hardened servers serve to anybody: a 200 there says who it is, not that it lets you in."""

ETCD_PATHS = ("/version", "/health")
"""Behind etcd's client certificate even these are closed, so for etcd they do say that it lets you in."""


def posture(
    component: str, state: State, tls: TlsFacts | None, http: tuple[HttpExchange, ...], spoke_tls_only: bool
) -> Posture:
    """Read a posture. `spoke_tls_only`: TLS was tried and the answer was no TLS."""
    if state is not State.OPEN:
        return Posture.UNKNOWN
    if tls is not None and tls.client_certificate == "required":
        return Posture.CLIENT_CERT_REQUIRED
    answers = [answer for answer in http if answer.status]
    if any(200 <= answer.status < 300 and _lets_in(component, answer) for answer in answers):
        return Posture.ANONYMOUS
    if any(answer.status == 401 for answer in answers):
        return Posture.AUTH_REQUIRED
    if any(answer.status == 403 for answer in answers):
        return Posture.FORBIDDEN
    if tls is not None and tls.version:
        return Posture.TLS
    if answers or spoke_tls_only:
        return Posture.PLAIN
    return Posture.UNKNOWN


def _lets_in(component: str, answer: HttpExchange) -> bool:
    path = answer.path.partition("?")[0]
    if component == "etcd":
        return path in ETCD_PATHS and "etcd" in answer.body
    if component in {"kubelet-read-only", "cloud-metadata"}:
        return True  # neither knows any other protection than not being reachable (or, for metadata, a token: 401)
    if component in {"kube-apiserver", "kubelet"}:
        return path not in PUBLIC_PATHS
    return False  # a web page that loads is what a web server is for
