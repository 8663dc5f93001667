"""One line a cause: what is grouped, what stays apart, how it is called, in any order and whatever else is found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.judgement.causes import causes
from kubeshield_tui.model.cause import Cause
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import SEVERITIES, Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, FindingId, finding_id
from kubeshield_tui.model.vantage import Vantage, Zone
from tests.unit.estate import endpoint, vantage
from tests.unit.holes_estate import on_node

PHONE, JUMP, HERE = vantage("ssh:phone", Zone.OUTSIDE), vantage("ssh:jump", Zone.OUTSIDE), vantage("local")
NODE = vantage("node:n1", cluster="prod")
SHOP = [vantage(f"pod:shop/web-{number}") for number in range(12)]
API = endpoint("kube-apiserver", component="kube-apiserver", host="203.0.113.10", port=6443)


def pods(namespaces: int) -> list[Vantage]:
    return [vantage(f"pod:space-{number}/web") for number in range(namespaces)]


def metadata(component: str, host: str = "169.254.169.254", port: int = 80) -> Endpoint:
    made = endpoint(component, component=component, host=host, port=port)
    return replace(made, group="cloud metadata", object="", name=component)


def service(name: str, namespace: str = "payments", component: str = "service", port: int = 80) -> Endpoint:
    made = endpoint(f"{namespace}-{name}", component=component, host="10.96.0.7", port=port)
    return replace(made, namespace=namespace, group=namespace, object=f"Service/{name}", name=name)


def of_cell(
    target: Endpoint, source: Vantage, severity: Severity = Severity.HIGH, code: str = "exposed", **facts: object
) -> Finding:
    made = Finding(
        id=finding_id(code, target.id, source.id),
        code=code,
        severity=severity,
        title=f"{target.name} {target.host}:{target.port} is {code} from {source.id}",
        because=('must be blocked: baseline "x"', f"observed open from {source.id}"),
        verify=(f"ask {target.id} from {source.id}",),
        remedy=f"close {target.component}",
        endpoint=target.id,
        vantage=source.id,
        cluster=target.cluster,
        namespace=target.namespace,
        object=target.object,
        component=target.component,
    )
    return replace(made, **facts)


def of_object(code: str, name: str, namespace: str = "shop", severity: Severity = Severity.MEDIUM) -> Finding:
    return Finding(
        id=finding_id(code, "prod", namespace, f"Service/{name}"),
        code=code,
        severity=severity,
        title=f"Service {namespace}/{name} claims 192.0.2.1 for itself",
        because=(f"spec.externalIPs of {name}", "whoever may write it can claim any address"),
        verify=(f"kubectl get service {name}",),
        remedy="Turn on the admission plugin.",
        cluster="prod",
        namespace=namespace,
        object=f"Service/{name}",
        component="service",
    )


def grouped(*cells: tuple[Endpoint, Vantage] | Finding, **keywords: object) -> tuple[Cause, ...]:
    """Causes of exposed cells, or of findings as they are."""
    return of(list(cells), [], **keywords)


def of(
    cells: list[tuple[Endpoint, Vantage] | Finding], ends: list[tuple[Endpoint, Vantage]], **keywords: object
) -> tuple[Cause, ...]:
    pairs = [*ends, *(each for each in cells if isinstance(each, tuple))]
    findings = [each if isinstance(each, Finding) else of_cell(*each) for each in cells]
    endpoints = {target.id: target for target, _ in pairs}
    vantages = {source.id: source for _, source in pairs}
    return causes(findings, endpoints, vantages, **keywords)  # type: ignore[arg-type]


def test_a_namespace_that_reaches_metadata_is_one_cause_and_counted() -> None:
    (cause,) = grouped(*((metadata("cloud-metadata"), source) for source in SHOP))
    assert cause.title == "cloud metadata open to pods of shop: 12 pods"
    assert cause.id == "exposed:prod:cloud-metadata:inside"
    assert (cause.reach.cells, cause.reach.endpoints, cause.reach.vantages, cause.reach.namespaces) == (12, 1, 12, 1)
    assert len(cause.cells) == 12
    assert 'must be blocked: baseline "x"' in cause.because
    assert len(cause.because) == 6
    assert cause.because[-1] == "and 8 more"


def test_what_is_declared_is_told_of_all_cells_and_cut_to_a_handful() -> None:
    ends = [(API, source) for source in SHOP]
    lines = [f"expired exception {number}" for number in range(len(ends))]
    cells = [
        of_cell(*each, because=(line, f"observed open from {each[1].id}", "simulated"))
        for each, line in zip(ends, lines, strict=True)
    ]
    (cause,) = of([*cells], ends)
    assert set(cause.because[:4]) < set(lines)
    assert cause.because[4:6] == ("simulated", "and 8 more that are declared")
    assert cause.because[-1] == "and 8 more"


def test_metadata_that_is_asked_in_the_words_of_every_cloud_is_one_cause() -> None:
    words = ("cloud-metadata", "aws-imds-token", "gcp-metadata", "azure-imds")
    (cause,) = grouped(*((metadata(word), source) for word in words for source in SHOP[:2]))
    assert cause.title == "cloud metadata open to pods of shop: 8 cells, 2 pods"
    assert cause.reach.endpoints == 4
    azure = metadata("azure-wireserver", "168.63.129.16")
    (cause,) = grouped((metadata("cloud-metadata"), SHOP[0]), (azure, SHOP[0]))
    assert cause.title == "cloud metadata at 2 addresses open to pods of shop: 2 cells, 1 pod"


def test_the_kubelets_of_forty_nodes_are_one_cause() -> None:
    kubelets = [on_node(f"n{number:02}") for number in range(40)]
    (cause,) = grouped(*((kubelet, SHOP[0]) for kubelet in kubelets))
    assert cause.title == "kubelet on 40 nodes open to pods of shop: 40 cells, 1 pod"
    assert any(line.startswith("on nodes n00, n01") and line.endswith("and 28 more") for line in cause.because)
    assert cause.object == ""


def test_what_is_open_to_many_namespaces_is_one_cause_for_the_target() -> None:
    (cause,) = grouped(*((API, source) for source in pods(9)), (API, NODE), (API, HERE))
    assert cause.title == (
        "kube-apiserver 203.0.113.10:6443 open to pods of 9 namespaces, to node n1 and to local: 11 vantages"
    )
    assert cause.reach.namespaces == 9
    (cause,) = grouped(*((API, source) for source in pods(2)))
    assert "to pods of space-0 and space-1" in cause.title


def test_what_is_open_from_outside_stands_apart_and_first() -> None:
    found = grouped(*((API, source) for source in SHOP), (API, PHONE), (API, JUMP))
    assert [cause.id for cause in found] == [
        "exposed:prod:kube-apiserver:outside",
        "exposed:prod:kube-apiserver:inside",
    ]
    assert found[0].title == "kube-apiserver 203.0.113.10:6443 open from outside: 2 vantages"
    (alone,) = grouped((API, PHONE))
    assert alone.title == "kube-apiserver 203.0.113.10:6443 open from outside: ssh:phone"
    assert alone.because == of_cell(API, PHONE).because


def test_services_of_a_namespace_are_closed_together_inside_and_each_by_itself_outside() -> None:
    db, cache, far = service("db"), service("cache"), service("db", "shop")
    inside = grouped(*((target, source) for target in (db, cache, far) for source in SHOP[:2]))
    assert {cause.title for cause in inside} == {
        "2 Services of payments open to pods of shop: 4 cells, 2 pods",
        "db 10.96.0.7:80 open to pods of shop: 2 pods",
    }
    outside = grouped(*((target, PHONE) for target in (db, cache, far)))
    assert len(outside) == 3
    ports = (service("db", port=5432), replace(service("db", port=9187), id="another"))
    (cause,) = grouped(*((target, PHONE) for target in ports))
    assert cause.title == "payments/db 10.96.0.7, 2 ports open from outside: 2 cells, 1 vantage"


def test_a_known_component_of_a_namespace_is_not_lost_among_its_services() -> None:
    hook = service("hook", component="ingress-nginx-admission")
    found = grouped((hook, SHOP[0]), (service("db"), SHOP[0]))
    assert {cause.id for cause in found} == {
        "exposed:prod:payments/ingress-nginx-admission:inside",
        "exposed:prod:payments:inside",
    }


def test_two_clusters_and_two_hosts_are_never_one() -> None:
    other = endpoint("kube-apiserver", component="kube-apiserver", cluster="staging")
    assert len(grouped((API, SHOP[0]), (other, SHOP[0]))) == 2
    hosts = [
        replace(endpoint("t", component="target", cluster="", host=host, port=port), id=f"{host}:{port}", object="")
        for host in ("192.0.2.7", "192.0.2.8")
        for port in (22, 80)
    ]
    found = grouped(*((target, PHONE) for target in hosts))
    assert [cause.title for cause in found] == [
        "target 192.0.2.7, 2 ports open from outside: 2 cells, 1 vantage",
        "target 192.0.2.8, 2 ports open from outside: 2 cells, 1 vantage",
    ]


def test_broken_and_ambiguous_targets_go_by_target() -> None:
    db, web = service("db"), service("web")
    sources = [*SHOP[:3], HERE]
    cells = [of_cell(target, source, code="broken") for target in (db, web) for source in sources]
    found = of([*cells], [(target, source) for target in (db, web) for source in sources])
    assert {cause.title for cause in found} == {
        "db 10.96.0.7:80 must be reachable and is not: 4 vantages",
        "web 10.96.0.7:80 must be reachable and is not: 4 vantages",
    }


@pytest.mark.parametrize(
    ("code", "cause", "title"),
    [
        ("not-enforced", "policy payments/deny-all", "not enforced: policy payments/deny-all: 6 cells, 3 pods"),
        ("bypassed", "n1 nft rule 14", "bypassed: n1 nft rule 14: 6 cells, 3 pods"),
        ("exposed", "no policy selects pods of shop", "exposed: no policy selects pods of shop: 6 cells, 3 pods"),
    ],
)
def test_who_raises_a_finding_may_say_its_cause(code: str, cause: str, title: str) -> None:
    ends = [(target, source) for target in (API, service("db")) for source in SHOP[:3]]
    (found,) = of([of_cell(*each, code=code, cause=cause) for each in ends], ends)
    assert found.title == title
    assert found.id == f"{code}:prod:{cause}"
    apart = of([of_cell(*each, code=code, cause=f"{cause}{each[1].id}") for each in ends], ends)
    assert len(apart) == 3


def test_disagreements_without_a_named_cause_go_by_target() -> None:
    ends = [(target, source) for target in (API, service("db")) for source in SHOP[:3]]
    found = of([of_cell(*each, code="blocked-elsewhere") for each in ends], ends)
    assert {cause.title for cause in found} == {
        "kube-apiserver 203.0.113.10:6443 does not answer, though the rules allow it: 3 pods",
        "db 10.96.0.7:80 does not answer, though the rules allow it: 3 pods",
    }


def test_objects_are_grouped_only_where_one_remedy_serves_all() -> None:
    worst = of_object("external-ips", "taken", severity=Severity.HIGH)
    found = grouped(*(of_object("external-ips", f"s{number}") for number in range(5)), worst)
    (cause,) = found
    assert cause.title == f"{worst.title}: 6 objects"
    assert cause.objects[0] == "shop/Service/taken"
    assert len(cause.objects) == 6
    assert (cause.object, cause.cells, cause.reach.cells) == ("", (), 0)
    incidents = grouped(*(of_object("backend-on-host", f"s{number}") for number in range(5)))
    assert [cause.id for cause in incidents] == sorted(
        finding_id("backend-on-host", "prod", "shop", f"Service/s{number}") for number in range(5)
    )


def test_a_known_hole_stays_as_it_is_whatever_its_worst_cell() -> None:
    hole = of_cell(API, PHONE, Severity.CRITICAL, "CVE-2018-1002105", reached_from=(PHONE.id, HERE.id))
    hole = replace(hole, id=FindingId("CVE-2018-1002105:prod:kube-apiserver"))
    (cause,) = of([hole], [(API, PHONE)])
    assert (cause.id, cause.title, cause.because) == (hole.id, hole.title, hole.because)
    assert (cause.cells, cause.reach.vantages) == ((CellKey(API.id, PHONE.id),), 2)


def test_the_worst_comes_first_by_severity_then_reach_then_depth() -> None:
    etcd, kubelet, read_only = (
        endpoint(name, component=name, host="10.0.0.11", port=2379) for name in ("etcd", "kubelet", "kubelet-read-only")
    )
    low, critical = of_cell(API, PHONE, Severity.LOW), of_cell(kubelet, HERE, Severity.CRITICAL)
    wide = [of_cell(etcd, source) for source in SHOP[:2]]
    bare = [of_cell(read_only, source) for source in SHOP[:2]]
    outside = of_cell(service("web"), PHONE)
    ends = [
        (target, source)
        for target in (API, kubelet, etcd, read_only, service("web"))
        for source in (*SHOP, PHONE, HERE)
    ]
    found = of(
        [low, *wide, *bare, outside, critical], ends, depth_of=lambda key: 0 if key.endpoint == read_only.id else 1
    )
    assert [cause.component for cause in found] == [
        "kubelet", "service", "kubelet-read-only", "etcd", "kube-apiserver"
    ]  # fmt: skip


def test_the_worst_cell_speaks_for_all_and_the_first_raised_for_the_time() -> None:
    cells = [of_cell(API, SHOP[0], Severity.MEDIUM), of_cell(API, SHOP[5], Severity.CRITICAL)]
    raised_at = {cells[0].id: 20.0, cells[1].id: 30.0}
    (cause,) = of([*cells], [(API, SHOP[0]), (API, SHOP[5])], raised_at=raised_at)
    assert (cause.severity, cause.vantage, cause.verify) == (Severity.CRITICAL, SHOP[5].id, cells[1].verify)
    assert cause.since == 20
    assert cause.cells[0].vantage == SHOP[5].id


# --- whatever is found

TARGETS = [
    API,
    *(on_node(f"n{number}") for number in range(3)),
    metadata("cloud-metadata"),
    metadata("aws-imds-token"),
    *(service(name, namespace) for name in ("db", "web") for namespace in ("payments", "shop")),
    service("hook", component="ingress-nginx-admission"),
    replace(endpoint("t", component="target", cluster="", host="192.0.2.7"), object=""),
]
SOURCES = [PHONE, JUMP, HERE, NODE, *SHOP[:3], *pods(3)]
CODES = ("exposed", "broken", "different-target", "not-enforced", "nothing-listens")
CELLS = st.builds(
    lambda target, source, code, severity, cause: of_cell(target, source, severity, code, cause=cause),
    st.sampled_from(TARGETS),
    st.sampled_from(SOURCES),
    st.sampled_from(CODES),
    st.sampled_from(SEVERITIES),
    st.sampled_from(["", "", "node n1"]),
)
OBJECTS = st.builds(
    of_object,
    st.sampled_from(["external-ips", "backend-on-host"]),
    st.sampled_from("abc"),
    st.sampled_from(["shop", "payments"]),
    st.sampled_from(SEVERITIES),
)
FINDINGS = st.lists(CELLS | OBJECTS, max_size=60, unique_by=lambda finding: finding.id)
ENDPOINTS = {target.id: target for target in TARGETS}
VANTAGES = {source.id: source for source in SOURCES}


def ids_by_cell(findings: list[Finding]) -> dict[FindingId, FindingId]:
    """Each finding's cause, found by grouping it with the others: by its cell and code, or by its object."""
    told: dict[object, list[FindingId]] = {}
    for cause in causes(findings, ENDPOINTS, VANTAGES):
        for thing in cause.cells or cause.objects:
            told.setdefault((cause.code, thing), []).append(cause.id)
    found = {}
    for finding in findings:
        thing: object = (
            CellKey(finding.endpoint, finding.vantage) if finding.endpoint else f"{finding.namespace}/{finding.object}"
        )
        (found[finding.id],) = told.pop((finding.code, thing))
    assert not told
    return found


@settings(max_examples=150, deadline=None)
@given(FINDINGS, st.randoms(use_true_random=False))
def test_each_finding_is_in_exactly_one_cause_in_any_order(findings: list[Finding], chance: random.Random) -> None:
    found = causes(findings, ENDPOINTS, VANTAGES)
    assert len(set(ids_by_cell(findings).values())) == len({cause.id for cause in found}) == len(found)
    mixed = list(findings)
    chance.shuffle(mixed)
    assert causes(mixed, ENDPOINTS, VANTAGES) == found
    severities = [SEVERITIES.index(cause.severity) for cause in found]
    assert severities == sorted(severities, reverse=True)
    worst = max((SEVERITIES.index(finding.severity) for finding in findings), default=None)
    assert (severities[0] if severities else None) == worst
    for cause in found:
        assert cause.because
        assert cause.verify
        assert cause.remedy
        assert cause.title == cause.title.strip()
        assert len(cause.because) <= 12


@settings(max_examples=150, deadline=None)
@given(FINDINGS, CELLS | OBJECTS)
def test_what_is_found_besides_never_changes_another_findings_cause(findings: list[Finding], other: Finding) -> None:
    more = [finding for finding in findings if finding.id != other.id]
    before, after = ids_by_cell(more), ids_by_cell([*more, other])
    assert {known: after[known] for known in before} == before


@settings(max_examples=100, deadline=None)
@given(FINDINGS)
def test_what_is_gone_from_the_grid_breaks_nothing(findings: list[Finding]) -> None:
    found = causes(findings, {}, {})
    assert sum(max(len(cause.cells), len(cause.objects)) for cause in found) == len(findings)
