"""What an application asks of a stranger, as a table: a false "lets anybody in" is as bad as a missed one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as any_of

from kubeshield_tui.discovery.catalogue import conversation_of
from kubeshield_tui.discovery.catalogue_rules import PUBLIC_PATHS
from kubeshield_tui.model.observation import HttpExchange, Posture, State, Step, TlsFacts
from kubeshield_tui.probes.posture import read

TLS = TlsFacts(version="TLSv1.3")
COMPONENTS = ("kube-apiserver", "kubelet", "kubelet-read-only", "etcd", "cloud-metadata", "service", "target", "")


NO_TLS = Step(name="tls", ms=1.0, ok=False, detail="wrong version number")


def said(path: str, status: int, body: str = "") -> HttpExchange:
    return HttpExchange(method="GET", path=path, status=status, body=body)


def posture(component: str, state: State, tls: TlsFacts | None, http: tuple[HttpExchange, ...], plain: bool) -> Posture:
    return read(conversation_of(component, 0), state, tls, http, (NO_TLS,) if plain else ()).posture


@pytest.mark.parametrize(
    ("component", "tls", "http", "expected"),
    [
        # An API server that is hardened: the version for anybody, nothing else.
        ("kube-apiserver", TLS, (said("/version", 200), said("/api/v1/namespaces?limit=1", 403)), Posture.FORBIDDEN),
        (
            "kube-apiserver",
            TLS,
            (said("/version", 401), said("/api/v1/namespaces?limit=1", 401)),
            Posture.AUTH_REQUIRED,
        ),
        ("kube-apiserver", TLS, (said("/version", 200), said("/api/v1/namespaces?limit=1", 200)), Posture.ANONYMOUS),
        ("kube-apiserver", TLS, (said("/version", 200),), Posture.TLS),
        ("kube-apiserver", None, (said("/version", 200),), Posture.PLAIN),
        ("kubelet", TLS, (said("/healthz", 401), said("/pods", 401)), Posture.AUTH_REQUIRED),
        ("kubelet", TLS, (said("/healthz", 403), said("/pods", 403)), Posture.FORBIDDEN),
        ("kubelet", TLS, (said("/healthz", 200), said("/pods", 200)), Posture.ANONYMOUS),
        ("kubelet", TLS, (said("/healthz", 200), said("/pods", 401)), Posture.AUTH_REQUIRED),
        ("kubelet-read-only", None, (said("/healthz", 200),), Posture.ANONYMOUS),
        ("kubelet-read-only", None, (said("/healthz", 404),), Posture.PLAIN),
        ("etcd", TLS, (said("/version", 200, '{"etcdserver":"3.5.9","etcdcluster":"3.5.0"}'),), Posture.ANONYMOUS),
        ("etcd", TLS, (said("/version", 200, "<title>a page</title>"),), Posture.TLS),
        ("etcd", None, (said("/version", 200, '{"etcdserver":"3.5.9"}'),), Posture.ANONYMOUS),
        ("cloud-metadata", None, (said("/latest/meta-data/", 200),), Posture.ANONYMOUS),
        ("cloud-metadata", None, (said("/latest/meta-data/", 401),), Posture.AUTH_REQUIRED),
        # Any of the answers that lets in decides, whatever the other says.
        (
            "cloud-metadata",
            None,
            (said("/latest/meta-data/", 401), said("/computeMetadata/v1/instance/id", 200)),
            Posture.ANONYMOUS,
        ),
        # A web page that loads is what a web server is for.
        ("service", TLS, (said("/", 200),), Posture.TLS),
        ("service", None, (said("/", 200),), Posture.PLAIN),
        ("service", None, (said("/", 401),), Posture.AUTH_REQUIRED),
        ("service", TLS, (said("/", 403),), Posture.FORBIDDEN),
        ("target", TLS, (), Posture.TLS),
        ("target", None, (), Posture.UNKNOWN),
        ("target", None, (said("/", 0),), Posture.UNKNOWN),  # bytes that were no HTTP
    ],
)
def test_answers_of_an_open_port(
    component: str, tls: TlsFacts | None, http: tuple[HttpExchange, ...], expected: Posture
) -> None:
    assert posture(component, State.OPEN, tls, http, False) is expected


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_client_certificate_outweighs_everything(component: str) -> None:
    required = TlsFacts(version="TLSv1.3", client_certificate="required")
    http = (said("/pods", 200, "etcd"), said("/version", 401))
    assert posture(component, State.OPEN, required, http, False) is Posture.CLIENT_CERT_REQUIRED
    requested = TlsFacts(version="TLSv1.3", client_certificate="requested")
    assert posture(component, State.OPEN, requested, (), False) is Posture.TLS


def test_an_answer_that_is_no_tls_is_plain() -> None:
    assert posture("target", State.OPEN, None, (), True) is Posture.PLAIN
    assert posture("target", State.OPEN, TlsFacts(), (), True) is Posture.PLAIN


@pytest.mark.parametrize("path", PUBLIC_PATHS)
@pytest.mark.parametrize("component", ["kube-apiserver", "kubelet"])
@pytest.mark.parametrize("query", ["", "?verbose"])
def test_public_paths_let_nobody_in(component: str, path: str, query: str) -> None:
    assert posture(component, State.OPEN, TLS, (said(path + query, 200, "ok"),), False) is Posture.TLS


def test_an_answer_to_what_was_not_asked_lets_nobody_in() -> None:
    assert posture("kubelet", State.OPEN, TLS, (said("/elsewhere", 200),), False) is Posture.TLS


@given(
    component=any_of.sampled_from(COMPONENTS),
    state=any_of.sampled_from([state for state in State if state is not State.OPEN]),
    status=any_of.sampled_from([0, 200, 204, 302, 401, 403, 404, 500]),
    wanted=any_of.sampled_from(["", "requested", "required"]),
    plain=any_of.booleans(),
)
def test_what_is_not_open_has_no_posture(component: str, state: State, status: int, wanted: str, plain: bool) -> None:
    tls = TlsFacts(version="TLSv1.2", client_certificate=wanted)
    assert posture(component, state, tls, (said("/pods", status, "etcd"),), plain) is Posture.UNKNOWN


@given(component=any_of.sampled_from(COMPONENTS), path=any_of.text(), status=any_of.integers(300, 999))
def test_only_a_success_lets_in(component: str, path: str, status: int) -> None:
    assert posture(component, State.OPEN, TLS, (said(path, status, "etcd"),), False) is not Posture.ANONYMOUS
