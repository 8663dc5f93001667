"""How answers read, row by row: recorded answers of each component, and what a stranger learns from them."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from msgspec.structs import replace

from kubeshield_tui.discovery.catalogue import HTTPS, Row, builtin
from kubeshield_tui.model.endpoint import Conversation, Fact, Reading, Request, TlsMode
from kubeshield_tui.model.observation import Certificate, HttpExchange, Posture, State, Step, TlsFacts
from kubeshield_tui.probes.posture import Read, fits, read

Headers = tuple[tuple[str, str], ...]
VERSION = '{\n  "major": "1",\n  "minor": "20",\n  "gitVersion": "v1.20.2",\n  "platform": "linux/amd64"\n}'
STATUS_403 = '{"kind":"Status","message":"forbidden: User \\"system:anonymous\\" cannot get path \\"%s\\"","code":403}'
UNAUTHORISED = '{"kind":"Status","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}'
VERSIONS = '{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[]}'
ETCD = '{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}'
DOCKER = '{"Platform":{"Name":"Docker Engine"},"Version":"24.0.7","ApiVersion":"1.43","MinAPIVersion":"1.12"}'
METRICS = "# HELP go_gc_duration_seconds A summary of the pause duration\n# TYPE go_gc_duration_seconds summary\n"
GOOGLE: Headers = (("Metadata-Flavor", "Google"), ("Server", "Metadata Server for VM"))
GKE: Headers = (("Metadata-Flavor", "Google"), ("Server", "GKE Metadata Server"))
AWS: Headers = (("Server", "EC2ws"), ("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "1"))
DASHBOARD = "<!doctype html><html><head><title>Kubernetes Dashboard</title></head></html>"
SILENCE = Step(name="http", ms=5000.0, ok=False, detail="no answer before the deadline")


class Said(NamedTuple):
    """One answer; status 0 where none came."""

    status: int
    body: str = ""
    headers: Headers = ()


class Case(NamedTuple):
    """Answers of one server, in the order in which the row asks."""

    component: str
    answers: tuple[Said, ...]
    posture: Posture
    says: str = ""
    facts: Headers = ()
    tls: TlsFacts | None = None


def denied(path: str) -> Said:
    return Said(403, STATUS_403 % path)


OK, NOT_FOUND = Said(200, "ok"), Said(404, "404 page not found\n")
ANONYMOUS, AUTH, FORBIDDEN = Posture.ANONYMOUS, Posture.AUTH_REQUIRED, Posture.FORBIDDEN
CERT, TLS, PLAIN, UNKNOWN = Posture.CLIENT_CERT_REQUIRED, Posture.TLS, Posture.PLAIN, Posture.UNKNOWN
MUTUAL = TlsFacts(version="TLSv1.3", client_certificate="required", alert="tlsv13 alert certificate required")
NIL2 = TlsFacts(version="TLSv1.3", certificate=Certificate(subject="O=nil2", issuer="O=nil1"))
OTHER = TlsFacts(version="TLSv1.3", certificate=Certificate(subject="CN=web", issuer="CN=ca"))
V120 = (("version", "v1.20.2"),)
WITH_METRICS = (
    "kube-scheduler", "kube-scheduler-insecure", "kube-controller-manager", "kube-controller-manager-insecure",
    "cloud-controller-manager", "ingress-nginx-status",
)  # fmt: skip
METRICS_ONLY = (
    "calico-felix-metrics", "cilium-agent-metrics", "coredns-metrics", "node-exporter", "prometheus",
)  # fmt: skip
SIMPLE_METADATA = ("digitalocean-metadata", "hetzner-metadata", "openstack-metadata")
PUBLIC_METRICS = "metrics are served to anybody"
CASES = [
    Case("kube-apiserver", (Said(200, VERSION), denied("/api/v1/namespaces")), FORBIDDEN, "not authorised", V120),
    Case("kube-apiserver", (Said(401, UNAUTHORISED), Said(401, UNAUTHORISED)), AUTH, "anonymous requests are off"),
    Case("kube-apiserver", (Said(200, VERSION), Said(200, "{}")), ANONYMOUS, "may list namespaces", V120),
    Case("kube-apiserver", (Said(200, VERSION),), TLS, "", V120),
    Case("kube-apiserver", (), CERT, "", (), MUTUAL),
    *(
        Case(component, (Said(200, VERSION), Said(200, VERSIONS)), ANONYMOUS, "obeys everybody", V120)
        for component in ("kube-apiserver-insecure", "kubectl-proxy")
    ),
    *(
        # What else listens there and serves a page for every path is no API.
        Case(component, (Said(200, "<title>shop</title>"), Said(200, "<title>shop</title>")), PLAIN)
        for component in ("kube-apiserver-insecure", "kubectl-proxy")
    ),
    *(
        case
        for component in ("etcd", "etcd-peer")
        for case in (
            Case(component, (Said(200, ETCD),), ANONYMOUS, "without a certificate", (("version", "3.4.23"),)),
            Case(component, (), CERT, "", (), MUTUAL),
            Case(component, (Said(200, "<title>a page</title>"),), TLS),
        )
    ),
    Case("etcd-metrics", (Said(200, '{"health":"true"}'),), ANONYMOUS, "health and metrics"),
    Case("etcd-metrics", (NOT_FOUND,), PLAIN),
    *(
        case
        for component in WITH_METRICS
        for case in (
            Case(component, (OK, Said(200, METRICS)), ANONYMOUS, PUBLIC_METRICS),
            Case(component, (OK, denied("/metrics")), FORBIDDEN, "not authorised"),
            Case(component, (OK, Said(401, UNAUTHORISED)), AUTH),
        )
    ),
    Case("kubelet", (Said(401, "Unauthorized"), Said(401)), AUTH, "anonymous requests are off"),
    Case("kubelet", (Said(403, "Forbidden"), Said(403)), FORBIDDEN, "anonymous requests are on"),
    Case("kubelet", (OK, Said(200)), ANONYMOUS, "obeys anybody"),
    Case("kubelet-read-only", (OK,), ANONYMOUS, "served to anybody"),
    Case("kubelet-healthz", (OK,), ANONYMOUS, "off loopback"),
    Case("kube-proxy-metrics", (Said(200, "iptables"), Said(200, METRICS)), ANONYMOUS, PUBLIC_METRICS,
         (("mode", "iptables"),)),
    Case("kube-proxy-metrics", (Said(401, "Unauthorized"), Said(401)), AUTH),
    Case("kube-proxy-healthz", (Said(200, '{"lastUpdated": "2026-01-01 00:00:00 +0000 UTC"}'),), PLAIN, "by design"),
    Case("cadvisor", (OK,), ANONYMOUS, "served to anybody"),
    Case("docker-api", (Said(200, DOCKER),), ANONYMOUS, "root on the node", (("version", "24.0.7"),)),
    Case("docker-api", (Said(403, "denied by a proxy"),), FORBIDDEN),
    Case("docker-api-tls", (Said(200, DOCKER),), ANONYMOUS, "root on the node", (("version", "24.0.7"),)),
    Case("docker-api-tls", (), CERT, "", (), MUTUAL),
    *(Case(component, (Said(200, METRICS),), ANONYMOUS, PUBLIC_METRICS) for component in METRICS_ONLY),
    *(Case(component, (Said(200, "<title>Sign in</title>"),), PLAIN) for component in METRICS_ONLY),
    Case("kubernetes-dashboard", (Said(200, DASHBOARD),), TLS, "front page", (("title", "Kubernetes Dashboard"),)),
    Case("metrics-server", (denied("/healthz"),), FORBIDDEN, "not authorised"),
    Case("kube-state-metrics", (Said(200, "# HELP kube_configmap_info Information\n"),), ANONYMOUS, "names and states"),
    Case("kube-state-metrics", (Said(200, METRICS),), ANONYMOUS, PUBLIC_METRICS),
    Case("ingress-nginx-admission", (), TLS, "ingress-nginx", (), NIL2),
    Case("ingress-nginx-admission", (), TLS, "", (), OTHER),
    Case("cloud-metadata", (Said(200, "ami-id\n", AWS[:1]),), ANONYMOUS, "IMDSv1", AWS[:1]),
    Case("cloud-metadata", (Said(401, "", AWS[:1]),), AUTH, "IMDSv2", AWS[:1]),
    Case("cloud-metadata", (NOT_FOUND, Said(200, "4520031799277581759", GOOGLE)), ANONYMOUS, "Google's metadata"),
    Case("cloud-metadata", (NOT_FOUND, Said(404, "", GOOGLE)), PLAIN, "Google's metadata"),
    Case("cloud-metadata", (NOT_FOUND, Said(200, "i-1")), ANONYMOUS),
    Case("cloud-metadata", (NOT_FOUND, NOT_FOUND), PLAIN),
    Case("aws-imds-token", (Said(200, "", AWS),), ANONYMOUS, "a session token can be had"),
    Case("aws-imds-token", (Said(0),), UNKNOWN, "a hop limit does"),
    Case("aws-imds-token", (Said(403, "", AWS[:1]),), FORBIDDEN),
    Case("aws-imds-token", (Said(404),), PLAIN),  # a metadata service that knows no tokens
    Case("aws-imds-ipv6", (Said(200, "ami-id\n"),), ANONYMOUS, "IMDSv1"),
    Case("aws-imds-ipv6", (Said(401),), AUTH, "IMDSv2"),
    Case("gcp-metadata", (Said(200, "4520031799277581759", GOOGLE), NOT_FOUND), ANONYMOUS, "Google's metadata",
         GOOGLE[1:]),
    Case("gcp-metadata", (Said(200, "4520031799277581759", GKE), NOT_FOUND), ANONYMOUS, "not the node's", GKE[1:]),
    Case("gcp-metadata", (Said(404, "", GOOGLE), NOT_FOUND), PLAIN, "Google's metadata", GOOGLE[1:]),
    Case("gcp-metadata", (Said(403, "", GOOGLE), Said(403)), FORBIDDEN, "Google's metadata", GOOGLE[1:]),
    Case("gcp-metadata", (Said(200, "1"), NOT_FOUND), ANONYMOUS),
    Case("gcp-metadata", (Said(404, "", GOOGLE), Said(200, "4520031799277581759")), ANONYMOUS, "legacy", GOOGLE[1:]),
    Case("gcp-metadata-ipv6", (Said(200, "4520031799277581759", GOOGLE),), ANONYMOUS, "Google's", GOOGLE[1:]),
    Case("gcp-metadata-ipv6", (Said(404, "", GOOGLE),), PLAIN, "Google's", GOOGLE[1:]),
    Case("azure-imds", (Said(200, '{"apiVersions":["2017-03-01"]}'),), ANONYMOUS, "Azure's metadata"),
    Case("azure-imds", (Said(200, "{}"),), ANONYMOUS),
    Case("azure-imds", (Said(400, '{"error":"Bad request"}'),), PLAIN),
    Case("alibaba-metadata", (Said(200, "i-bp1"),), ANONYMOUS, "without a session token"),
    Case("alibaba-metadata", (Said(401),), AUTH, "wants a session token"),
    Case("alibaba-metadata", (Said(403),), FORBIDDEN, "hardened mode"),
    Case("alibaba-metadata-token", (Said(200),), ANONYMOUS, "a session token can be had"),
    Case("alibaba-metadata-token", (Said(0),), UNKNOWN, "a hop limit does"),
    Case("oci-metadata", (Said(200, "ocid1.instance.oc1"), NOT_FOUND), ANONYMOUS, "Oracle's metadata"),
    Case("oci-metadata", (Said(401), Said(200, "ocid1.instance.oc1")), ANONYMOUS, "legacy"),
    *(Case(component, (Said(200, "1"),), ANONYMOUS, "'s metadata") for component in SIMPLE_METADATA),
    *(Case(component, (NOT_FOUND,), PLAIN) for component in SIMPLE_METADATA),
]  # fmt: skip


def row_of(component: str) -> Row:
    row = builtin().row(component)
    assert row is not None
    return row


def exchanges(case: Case) -> tuple[HttpExchange, ...]:
    requests = row_of(case.component).conversation.requests
    return tuple(
        HttpExchange(method=request.method, path=request.path, status=said.status, body=said.body, headers=said.headers)
        for request, said in zip(requests, case.answers, strict=False)
    )


def steps_of(case: Case) -> tuple[Step, ...]:
    return (SILENCE,) if any(not said.status for said in case.answers) else ()


def reading(case: Case) -> Read:
    talk = row_of(case.component).conversation
    tls = case.tls or (TlsFacts(version="TLSv1.3") if talk.tls is not TlsMode.OFF else None)
    return read(talk, State.OPEN, tls, exchanges(case), steps_of(case))


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.component}-{'-'.join(str(said.status) for said in case.answers)}"
)
def test_an_answer_reads_as_it_is_written(case: Case) -> None:
    found = reading(case)
    assert found.posture is case.posture
    assert case.says in found.says
    assert bool(case.says) == bool(found.says)
    assert found.facts == tuple((name.lower(), value) for name, value in case.facts)


@pytest.mark.parametrize("row", [row for row in builtin().rows if row.conversation.requests], ids=lambda r: r.component)
def test_every_reading_of_a_row_has_an_answer_above(row: Row) -> None:
    """A reading that a shorter one before it takes the answers of would never be met."""
    wanted = {(request.path, each) for request in row.conversation.requests for each in request.readings}
    met = set()
    for case in (case for case in CASES if case.component == row.component):
        silent = bool(steps_of(case))
        for request, answer in zip(row.conversation.requests, exchanges(case), strict=False):
            met |= {(request.path, each) for each in [r for r in request.readings if fits(r, answer, silent)][:1]}
    assert wanted - met == set()


@pytest.mark.parametrize("row", builtin().rows, ids=lambda row: row.component)
def test_a_login_page_for_everything_lets_nobody_in(row: Row) -> None:
    """401 and 403 to whatever is asked: no row may read that as open to anybody."""
    for status, posture in ((401, Posture.AUTH_REQUIRED), (403, Posture.FORBIDDEN)):
        answers = tuple(
            HttpExchange(method=each.method, path=each.path, status=status) for each in row.conversation.requests
        )
        if answers:
            assert read(row.conversation, State.OPEN, None, answers, ()).posture is posture


def test_silence_is_silence_only_where_nothing_came() -> None:
    silence = Reading(status="none", says="silence")
    silent = HttpExchange(method="PUT", path="/")
    talk = Conversation(requests=(Request(method="PUT", readings=(silence,)),))
    begun = replace(SILENCE, detail="no whole answer before the deadline")  # a tarpit
    assert read(talk, State.OPEN, None, (silent,), (SILENCE,)).says == "silence"
    assert read(talk, State.OPEN, None, (silent,), (begun,)).says == ""
    assert fits(silence, silent, True)
    assert not fits(silence, silent, False)  # closed or reset by the peer
    assert not fits(silence, HttpExchange(method="PUT", path="/", status=200), True)
    assert not fits(Reading(), silent, True)  # what fits everything still wants an answer


def test_facts_come_from_header_json_text_and_whole_body() -> None:
    facts = (
        Fact(name="server", header="server"),
        Fact(name="version", json="Version"),
        Fact(name="title", after="<title>", before="</title>"),
        Fact(name="rest", after="rest="),
        Fact(name="missing", after="<h1>", before="</h1>"),
    )
    talk = Conversation(requests=(Request(facts=facts),))

    def told(status: int, body: str) -> dict[str, str]:
        answer = HttpExchange(method="GET", path="/", status=status, body=body, headers=(("Server", "s" * 500),))
        return dict(read(talk, State.OPEN, None, (answer,), ()).facts)

    body = '{"ApiVersion":"1", "Version" : "2"} <title> a\nb </title> rest=of it'
    assert told(200, body) == {"server": "s" * 120, "version": "2", "title": "a␊b", "rest": "of it"}
    assert told(404, body) == {"server": "s" * 120}  # an error page tells of the error


def test_a_service_tells_its_server_and_title() -> None:
    page = HttpExchange(method="GET", path="/", status=200, body=DASHBOARD, headers=(("Server", "nginx"),))
    assert read(HTTPS, State.OPEN, TlsFacts(version="TLSv1.3"), (page,), ()) == (
        Posture.TLS, "", (("server", "nginx"), ("title", "Kubernetes Dashboard")),
    )  # fmt: skip
