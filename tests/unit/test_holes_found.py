"""A hole weighs by who reaches the component now: what raises it, what lowers it, and what is said of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.judgement.components import component_versions, take_apart
from kubeshield_tui.judgement.holes import shipped_holes
from kubeshield_tui.judgement.holes_found import weighed
from kubeshield_tui.judgement.reach import reach_of
from kubeshield_tui.judgement.requirements import Met
from kubeshield_tui.model.cluster import AggregatedApiRecord, PolicyRecord, WebhookRecord
from kubeshield_tui.model.expectation import SEVERITIES, Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.vantage import Zone
from tests.unit.estate import endpoint, vantage
from tests.unit.holes_estate import (
    ADMIN,
    API,
    EVERYWHERE,
    NODE,
    OTHER_POD,
    OUTSIDE,
    POD,
    WORDS,
    holes_of,
    inventory,
    node,
    on_node,
    pod,
    view_of,
)

PROXY_UPGRADE = "CVE-2018-1002105"
METRICS = (AggregatedApiRecord(name="v1beta1.metrics.k8s.io", namespace="kube-system", service="metrics-server"),)


def upgrade_hole(**words: str) -> Finding:
    """The finding of the first hole with the API seen as given from each zone, and an aggregated API there."""
    seen = {"outside": OUTSIDE, "pod": POD, "node": NODE, "admin": ADMIN}
    cells = {(API, seen[zone]): word for zone, word in words.items()}
    return holes_of(view_of(inventory("v1.10.3", aggregated=METRICS), cells, endpoints=[API]))[PROXY_UPGRADE]


@pytest.mark.parametrize(
    ("words", "severity"),
    [
        ({"outside": "forbidden"}, "critical"),
        ({"outside": "blocked", "pod": "forbidden"}, "critical"),
        ({"outside": "blocked", "pod": "blocked", "node": "forbidden"}, "high"),
        ({"outside": "blocked", "pod": "blocked", "admin": "forbidden"}, "high"),
        ({"outside": "blocked", "pod": "blocked", "node": "dead", "admin": "unproven"}, "medium"),
        ({}, "medium"),
        ({"outside": "anonymous"}, "critical"),
        ({"outside": "exposed"}, "high"),  # 401: nobody gets in without logging in
        ({"pod": "open"}, "high"),
        ({"admin": "open"}, "medium"),
    ],
)
def test_the_worst_zone_that_reaches_the_api_decides(words: dict[str, str], severity: str) -> None:
    assert upgrade_hole(**words).severity == severity


def test_who_reaches_it_is_counted_and_listed_by_zone() -> None:
    words = {"outside": "exposed", "pod": "open", "node": "blocked", "admin": "unproven"}
    finding = upgrade_hole(**words)
    assert finding.title.endswith("; reachable from 2 of 4 vantages")
    assert finding.title.startswith("CVE-2018-1002105 in kube-apiserver v1.10.3: ")
    assert "reachable from 2 of 4 vantages (outside: ssh:phone; pod: pod:shop)" in finding.because
    assert "not reachable from node:n1" in finding.because
    assert "not answered, and not proven to be blocked, from local" in finding.because
    assert "not measured from pod:payments" in finding.because
    assert finding.reached_from == (OUTSIDE.id, POD.id)
    assert (finding.endpoint, finding.vantage) == (API.id, OUTSIDE.id)
    assert any("https://10.0.0.1:6443" in command or "10.0.0.1 6443" in command for command in finding.verify)


@pytest.mark.parametrize("word", ["nothing", "lost", "untested"])
def test_what_was_not_measured_is_said_and_never_counted_as_a_no(word: str) -> None:
    finding = upgrade_hole(**dict.fromkeys(("outside", "pod", "node", "admin"), word))
    assert finding.title.endswith("; who reaches it was not measured")
    assert not any(line.startswith("not reachable from") for line in finding.because)
    assert any("nothing was measured from zone outside and pod" in line for line in finding.because)


def test_without_an_endpoint_in_the_grid_the_reach_is_not_known() -> None:
    finding = holes_of(view_of(inventory("v1.10.3", aggregated=METRICS)))[PROXY_UPGRADE]
    assert "no endpoint of kube-apiserver is in the grid: who reaches it was not measured" in finding.because
    assert (finding.severity, finding.endpoint, finding.reached_from) == ("medium", "", ())


def test_a_vantage_for_which_every_address_is_another_target_counts_nowhere() -> None:
    cells = {(API, OUTSIDE): "elsewhere", (API, POD): "open", (API, OTHER_POD): "blocked"}
    reach = reach_of(view_of(inventory(), cells, vantages=(OUTSIDE, POD, OTHER_POD)), (API,))
    assert reach.summary() == "reachable from 1 of 2 vantages"
    assert reach.unmeasured == ()


def test_one_open_address_of_several_is_enough_and_one_unmeasured_leaves_a_no_open() -> None:
    second = endpoint("api 2", component="kube-apiserver", host="10.0.0.2", port=6443)
    cells = {
        (API, OUTSIDE): "blocked", (second, OUTSIDE): "open",
        (API, POD): "blocked", (second, POD): "lost",
        (API, NODE): "dead", (second, NODE): "blocked",
        (API, ADMIN): "blocked", (second, ADMIN): "broken",
    }  # fmt: skip
    reach = reach_of(view_of(inventory(), cells, vantages=(OUTSIDE, POD, NODE, ADMIN)), (API, second))
    assert (reach.reached, reach.stopped) == ((OUTSIDE,), (NODE,))
    assert (reach.not_proven, reach.unmeasured) == ((ADMIN,), (POD,))
    assert reach.worst == (second, OUTSIDE)


@given(st.lists(st.sampled_from(sorted(WORDS)), min_size=10, max_size=10))
def test_every_vantage_stands_in_at_most_one_group(words: list[str]) -> None:
    second = endpoint("api 2", component="kube-apiserver", host="10.0.0.2", port=6443)
    cells = {
        (target, source): words[2 * number + offset]
        for number, source in enumerate(EVERYWHERE)
        for offset, target in enumerate((API, second))
    }
    reach = reach_of(view_of(inventory(), cells), (API, second))
    groups = (*reach.reached, *reach.stopped, *reach.not_proven, *reach.unmeasured)
    assert len(groups) == len(set(groups))
    for number, source in enumerate(EVERYWHERE):
        pair = set(words[2 * number : 2 * number + 2])
        assert (source in reach.reached) == bool(pair & {"open", "exposed", "anonymous", "forbidden"})
        assert (source not in groups) == (pair == {"elsewhere"})


@pytest.mark.parametrize("hole", shipped_holes(), ids=lambda hole: hole.id)
def test_severity_falls_from_outside_over_pods_and_the_inside_to_nowhere(hole: object) -> None:
    order = (Zone.OUTSIDE, Zone.POD, Zone.NODE, Zone.ADMIN, None)
    ranks = [SEVERITIES.index(weighed(hole, zone, certain=True, needs=())[0]) for zone in order]  # type: ignore[arg-type]
    assert ranks == sorted(ranks, reverse=True)
    for zone in order:
        lower = weighed(hole, zone, certain=False, needs=[Met(False, "no")])[0]  # type: ignore[arg-type]
        assert lower in {Severity.INFO, Severity.LOW}


def test_it_says_what_made_it_lower() -> None:
    weight = upgrade_hole(outside="exposed").because[-2]
    assert weight == (
        "severity high: reached from zone outside; one step lower because anonymous requests are turned away (401), "
        "as seen from ssh:phone"
    )
    without = holes_of(view_of(inventory("v1.10.3"), {(API, OUTSIDE): "forbidden"}))[PROXY_UPGRADE]
    assert without.severity == "high"
    assert "no other server answers for a part of the API" in without.because
    unread = holes_of(view_of(inventory("v1.10.3"), {(API, OUTSIDE): "forbidden"}, denied=("apiservices.x",)))
    assert unread[PROXY_UPGRADE].severity == "critical"  # not known is not "no"
    assert "the list of apiservices could not be read" in unread[PROXY_UPGRADE].because


def test_a_vendors_build_is_a_finding_to_look_into_not_an_alarm() -> None:
    cells = {(API, OUTSIDE): "forbidden"}
    finding = holes_of(view_of(inventory("v1.10.3-gke.1", aggregated=METRICS), cells))[PROXY_UPGRADE]
    assert finding.severity == "medium"
    assert finding.title.startswith("CVE-2018-1002105 may be in kube-apiserver v1.10.3-gke.1: ")
    assert PROXY_UPGRADE not in holes_of(view_of(inventory("v1.10.11-gke.1", aggregated=METRICS), cells))


def test_a_kubelets_hole_names_its_nodes_and_only_their_endpoints_count() -> None:
    old, new = on_node("old", "kubelet-read-only", 10255), on_node("new", "kubelet-read-only", 10255)
    read = inventory("v1.32.2", nodes=(node("old", "v1.32.1"), node("new", "v1.32.2")))
    cells = {(old, POD): "blocked", (new, POD): "open"}
    finding = holes_of(view_of(read, cells, vantages=(POD,)))["CVE-2025-0426"]
    assert "in kubelet v1.32.1 on 1 of 2 nodes" in finding.title
    assert finding.title.endswith("; reachable from 0 of 1 vantages")
    assert "node old: v1.32.1 is affected (kubeletVersion)" in finding.because
    assert finding.severity == "low"
    reached = holes_of(view_of(read, {**cells, (old, POD): "open"}, vantages=(POD,)))["CVE-2025-0426"]
    assert (reached.severity, reached.endpoint) == ("medium", old.id)
    assert reached.id == finding.id


def test_certain_and_uncertain_nodes_are_told_apart() -> None:
    read = inventory(nodes=(node("plain", "v1.32.1"), node("vendor", "v1.32.1-eks-1"), node("fixed", "v1.32.2")))
    finding = holes_of(view_of(read))["CVE-2025-0426"]
    assert "in kubelet v1.32.1 on 1 of 3 nodes" in finding.title
    assert any(line.startswith("node vendor: v1.32.1-eks-1 is indeterminate: the suffix") for line in finding.because)
    only_vendor = inventory(nodes=(node("vendor", "v1.32.1-eks-1"),))
    assert holes_of(view_of(only_vendor))["CVE-2025-0426"].severity == "info"


def test_only_nodes_that_surely_have_it_weigh_where_there_are_any() -> None:
    plain, vendor = on_node("plain", "kubelet-read-only", 10255), on_node("vendor", "kubelet-read-only", 10255)
    read = inventory(nodes=(node("plain", "v1.32.1"), node("vendor", "v1.32.1-eks-1")))
    cells = {(plain, OUTSIDE): "blocked", (vendor, OUTSIDE): "open"}
    finding = holes_of(view_of(read, cells, vantages=(OUTSIDE,)))["CVE-2025-0426"]
    assert (finding.severity, finding.reached_from) == ("low", ())


def test_what_is_not_there_makes_no_finding() -> None:
    windows, portworx = "CVE-2023-5528", "CVE-2025-13281"
    linux = inventory("v1.28.1", nodes=(node("n1", "v1.28.1"),))
    assert windows not in holes_of(view_of(linux))
    mixed = inventory("v1.28.1", nodes=(node("n1", "v1.28.1"), node("w1", "v1.28.1", "windows")))
    assert "on 1 of 2 nodes" in holes_of(view_of(mixed))[windows].title
    silent = inventory("v1.28.1", nodes=(node("n1", "v1.28.1", ""),))
    assert "whether a node runs Windows is not known" in holes_of(view_of(silent))[windows].because
    by_image = node("n1", "v1.28.1", "", os_image="Windows Server 2022 Datacenter")
    assert windows in holes_of(view_of(inventory("v1.28.1", nodes=(by_image,))))

    web = pod("web", "registry.example.com/web:v1")
    assert portworx not in holes_of(view_of(inventory("v1.33.4", pods=(web,))))
    volumes = pod("px-1", "docker.io/portworx/oci-monitor:3.1", namespace="kube-system")
    assert holes_of(view_of(inventory("v1.33.4", pods=(web, volumes))))[portworx].severity == "low"
    assert portworx in holes_of(view_of(inventory("v1.33.4")))  # nothing is known of images

    assert "CVE-2020-8561" not in holes_of(view_of(inventory()))
    assert "CVE-2020-8561" in holes_of(view_of(inventory(webhooks=(WebhookRecord(name="x"),))))
    refused = view_of(inventory(), denied=("validatingwebhookconfigurations.admissionregistration.k8s.io",))
    assert "CVE-2020-8561" in holes_of(refused)
    policies = (PolicyRecord(cluster="prod", namespace="shop", name="deny"),)
    assert "CVE-2024-7598" not in holes_of(view_of(inventory("v1.28.1")))
    assert holes_of(view_of(inventory("v1.28.1", policies=policies)))["CVE-2024-7598"].severity == "low"


CONTROLLER = f"registry.k8s.io/ingress-nginx/controller:v1.11.2@sha256:{'d5' * 32}"
ADMISSION = replace(
    endpoint("ingress-nginx-controller-admission", host="10.96.7.7", port=443),
    namespace="ingress-nginx",
    object="Service/ingress-nginx-controller-admission",
)
HOOK = WebhookRecord(
    name="ValidatingWebhookConfiguration/ingress-nginx-admission/validate.nginx.ingress.kubernetes.io",
    namespace="ingress-nginx",
    service="ingress-nginx-controller-admission",
)


def test_an_ingress_controllers_webhook_is_what_must_be_reached() -> None:
    other = replace(endpoint("web", host="10.96.7.8", port=443), namespace="ingress-nginx", object="Service/web")
    read = inventory(pods=(pod("controller-1", CONTROLLER, namespace="ingress-nginx"),), webhooks=(HOOK,))
    closed = {(ADMISSION, POD): "blocked", (other, POD): "open"}
    finding = holes_of(view_of(read, closed, vantages=(POD,)))["CVE-2025-1974"]
    assert (finding.severity, finding.reached_from) == ("high", ())
    opened = holes_of(view_of(read, {(ADMISSION, POD): "open"}, vantages=(POD,)))["CVE-2025-1974"]
    assert (opened.severity, opened.reached_from) == ("critical", (POD.id,))
    assert "CVE-2025-24514" in opened.because[-1]
    assert any("-n ingress-nginx get pods" in command for command in opened.verify)
    unread = replace(read, webhooks=())  # found by its name where the webhooks could not be read
    assert holes_of(view_of(unread, {(ADMISSION, POD): "open"}, vantages=(POD,)))["CVE-2025-1974"].reached_from


@pytest.mark.parametrize(
    ("image", "path", "tag"),
    [
        (CONTROLLER, "registry.k8s.io/ingress-nginx/controller", "v1.11.2"),
        ("localhost:5000/controller", "localhost:5000/controller", ""),
        ("localhost:5000/controller:v1", "localhost:5000/controller", "v1"),
        ("rancher/controller:nginx-1.9.4-rancher1", "rancher/controller", "nginx-1.9.4-rancher1"),
        ("a@sha256:00", "a", ""),
        ("", "", ""),
    ],
)
def test_images_are_taken_apart(image: str, path: str, tag: str) -> None:
    assert take_apart(image) == (path, tag)


@given(st.text())
def test_no_image_breaks_the_reading(image: str) -> None:
    assert component_versions(inventory(pods=(pod("p", image, f"ingress-nginx/controller:{image}"),)))


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("ingress-nginx/controller:v1.11.2", "CVE-2025-1974"),
        ("quay.io/kubernetes-ingress-controller/nginx-ingress-controller:0.26.1", "CVE-2025-1974"),
        ("k8s.gcr.io/ingress-nginx/controller-chroot:v1.3.0", "CVE-2025-1974"),
        ("ingress-nginx/controller:v1.11.5", ""),
        ("ingress-nginx/controller:v1.12.1-debian-12-r0", ""),
        ("ingress-nginx/controller:latest", "version-unknown"),
        ("ingress-nginx/controller@sha256:0123", "version-unknown"),
        ("ingress-nginx/controller", "version-unknown"),
        ("nginx/nginx-ingress:1.11.2", ""),  # another product
        ("ingress-nginx/kube-webhook-certgen:v1.1.1", ""),
    ],
)
def test_a_controller_is_known_by_its_image(image: str, code: str) -> None:
    found = set(holes_of(view_of(inventory(pods=(pod("c", image, namespace="ingress-nginx"),)))))
    assert found & {"CVE-2025-1974", "version-unknown"} == ({code} if code else set())


def test_a_vendors_controller_is_indeterminate() -> None:
    controller = pod("c", "bitnami/nginx-ingress-controller:1.11.2-debian-12-r3", namespace="ingress-nginx")
    finding = holes_of(view_of(inventory(pods=(controller,))))["CVE-2025-1974"]
    assert (finding.severity, finding.title.split(":")[0]) == (
        "low",
        "CVE-2025-1974 may be in ingress-nginx 1.11.2-debian-12-r3",
    )


def test_the_control_planes_images_speak_for_themselves_in_kube_system_only() -> None:
    manager = pod("kcm-n1", "registry.k8s.io/kube-controller-manager:v1.33.6", namespace="kube-system")
    volumes = pod("px", "portworx/px:1", namespace="kube-system")
    assert "CVE-2025-13281" not in holes_of(view_of(inventory("v1.33.4", pods=(manager, volumes))))
    virtual = pod("vcluster-0", "registry.k8s.io/kube-apiserver:v1.10.3", namespace="tenant")
    assert PROXY_UPGRADE not in holes_of(view_of(inventory("v1.33.9", pods=(virtual,))))
    second = pod("kube-apiserver-n2", "registry.k8s.io/kube-apiserver-amd64:v1.10.3", namespace="kube-system")
    mixed = holes_of(view_of(inventory("v1.10.11", pods=(second,))))[PROXY_UPGRADE]
    assert "Pod kube-system/kube-apiserver-n2: v1.10.3 is affected" in mixed.because[0]
    silent = _all(inventory("", pods=(second,)))
    assert "version-unknown:prod:kube-apiserver" not in {finding.id for finding in silent}
    finished = replace(second, phase="Succeeded")
    assert PROXY_UPGRADE not in holes_of(view_of(inventory("v1.10.11", pods=(finished,))))


def test_a_version_that_was_not_told_is_said_once_a_component() -> None:
    read = inventory("", nodes=tuple(node(f"n{number}", "") for number in range(40)))
    found = holes_of(view_of(read))
    assert set(found) == {"version-unknown"}
    ids = {finding.id for finding in _all(read)}
    assert ids == {"version-unknown:prod:kube-apiserver", "version-unknown:prod:kubelet"}
    (kubelets,) = [finding for finding in _all(read) if finding.component == "kubelet"]
    assert kubelets.severity is Severity.INFO
    assert kubelets.because[-1] == "and 28 more"


def _all(read: object) -> list[Finding]:
    from kubeshield_tui.judgement.holes_found import known_holes

    return list(known_holes(shipped_holes(), component_versions(read), view_of(read)))  # type: ignore[arg-type]


def test_a_name_with_shell_in_it_stays_one_word_in_the_commands() -> None:
    facts = replace(inventory("v1.10.3").cluster, id="prod; rm -rf ~")
    finding = holes_of(view_of(replace(inventory("v1.10.3"), cluster=facts)))[PROXY_UPGRADE]
    assert finding.verify[0] == "kubectl --context 'prod; rm -rf ~' get --raw /version"


def test_many_vantages_are_counted_not_all_listed() -> None:
    crowd = tuple(vantage(f"pod:ns{number}") for number in range(41))
    cells = {(API, source): "blocked" if number < 4 else "open" for number, source in enumerate(crowd)}
    finding = holes_of(view_of(inventory("v1.10.3"), cells, vantages=crowd))[PROXY_UPGRADE]
    assert finding.title.endswith("; reachable from 37 of 41 vantages")
    assert len(finding.reached_from) == 37
    assert any(line.endswith("and 25 more)") for line in finding.because)
