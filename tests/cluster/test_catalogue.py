"""Components of a real cluster, asked as the catalogue says: from outside, from a node, from a pod, and beside curl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kubeshield_tui.discovery.catalogue import conversation_of
from tests.cluster import kit

NAMESPACE = "kst-catalogue"
POD, OUTSIDE, NODE = f"pod:{NAMESPACE}", "local", "ssh:node1"
METADATA = "169.254.169.254:80"


class Seen(NamedTuple):
    """What must be seen of a component from one place."""

    component: str
    place: str
    vantage: str
    posture: str
    says: str = ""
    facts: tuple[tuple[str, str], ...] = ()


OFF, ANYBODY = "anonymous requests are off", "metrics are served to anybody"
UNAUTHORISED = "anonymous requests are on, this one is not authorised"
TRUTH = [
    *(
        seen
        for vantage in (OUTSIDE, NODE, POD)
        for seen in (
            Seen("kube-apiserver", "172.30.0.1:6443", vantage, "forbidden", UNAUTHORISED, (("version", "v1.20.2"),)),
            Seen("etcd", "172.30.0.1:2379", vantage, "client-cert-required"),
            Seen("kubelet", "172.30.0.1:10250", vantage, "auth-required", OFF),
            Seen("kubelet", "172.30.0.2:10250", vantage, "auth-required", OFF),
            Seen("kube-scheduler-insecure", "172.30.0.1:10251", vantage, "anonymous", ANYBODY),
            Seen("kube-controller-manager-insecure", "172.30.0.1:10252", vantage, "anonymous", ANYBODY),
        )
    ),
    # What keeps to loopback is seen from the node itself only.
    Seen("etcd-peer", "127.0.0.1:2380", NODE, "anonymous", "peers without a certificate are served",
         (("version", "3.4.23"),)),  # in plain HTTP
    Seen("kubelet-healthz", "127.0.0.1:10248", NODE, "anonymous", "the health check answers off loopback"),
    Seen("kube-proxy-metrics", "127.0.0.1:10249", NODE, "anonymous", ANYBODY, (("mode", "iptables"),)),
    Seen("kube-proxy-healthz", "127.0.0.1:10256", NODE, "plain", "open to anybody by design: load balancers ask it"),
    Seen("kube-controller-manager", "127.0.0.1:10257", NODE, "forbidden", UNAUTHORISED),
    Seen("kube-scheduler", "127.0.0.1:10259", NODE, "forbidden", UNAUTHORISED),
    *(
        seen
        for vantage in (NODE, POD)
        for seen in (
            Seen("cloud-metadata", METADATA, vantage, "auth-required",
                 "metadata wants a session token (IMDSv2); Google's metadata"),
            Seen("aws-imds-token", METADATA, vantage, "anonymous", "a session token can be had from here (IMDSv2)"),
            # 403 without the header, and 404 with it: the stand-in has no instance id.
            Seen("gcp-metadata", METADATA, vantage, "forbidden", "Google's metadata"),
            Seen("azure-imds", METADATA, vantage, "anonymous"),
        )
    ),
    Seen("cluster-dns-tcp", "10.96.0.10:53", POD, "unknown"),
]  # fmt: skip


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("catalogue")
    targets, events = directory / "targets.txt", directory / "events.ndjson"
    lines = dict.fromkeys(f"{seen.place} component={seen.component}\n" for seen in TRUTH)
    targets.write_text("".join(lines) + "10.96.0.10:53/udp component=cluster-dns\n172.30.0.1:10255\n172.30.0.1:2375\n")
    kit.kubectl("create", "namespace", NAMESPACE)
    try:
        audit = kit.audit(
            "--no-discovery", "--targets", str(targets), "--yes", "--record", str(events),
            "--vantage", OUTSIDE, "--zone", f"{OUTSIDE}=outside",
            "--ssh-config", str(kit.ssh_config(directory)), "--vantage", NODE, "--zone", f"{NODE}=node",
            "--vantage", POD,
        )  # fmt: skip
        assert {vantage["status"] for vantage in audit.report["vantages"]} == {"ready"}, audit.err
        yield events
    finally:
        kit.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def answers(record: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(component, place, vantage) -> observation."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for event in map(json.loads, record.read_text().splitlines()):
        if event["event"] == "CellObserved":
            seen = event["observation"]
            component, _, place = seen["endpoint"].rpartition("/")[0].partition("@")
            found[component, place, seen["vantage"]] = seen
    return found


@pytest.mark.parametrize("seen", TRUTH, ids=lambda seen: f"{seen.component}-{seen.vantage}")
def test_each_component_reads_as_it_is(answers: dict[tuple[str, str, str], dict[str, Any]], seen: Seen) -> None:
    answer = answers[seen.component, seen.place, seen.vantage]
    assert (answer["state"], answer["posture"]) == ("open", seen.posture), answer
    assert answer["detail"] == seen.says
    assert tuple((name, value) for name, value in answer["identified"] if name != "server") == seen.facts


def curl(url: str, *options: str) -> int:
    """Status of a request that curl sends from the node; 0 where none came back."""
    command = [kit.KIT, "exec-net", "node1", "curl", "-sk", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"]
    return int(subprocess.run([*command, *options, url], capture_output=True, text=True, check=False).stdout or 0)


@pytest.mark.parametrize("seen", [seen for seen in TRUTH if seen.vantage == NODE], ids=lambda seen: seen.component)
def test_curl_gets_the_same_answers(answers: dict[tuple[str, str, str], dict[str, Any]], seen: Seen) -> None:
    talk = conversation_of(seen.component, 0)
    scheme = "https" if talk.tls == "on" or seen.posture == "client-cert-required" else "http"
    asked = [
        curl(
            f"{scheme}://{seen.place}{request.path}",
            *(["--head"] if request.method == "HEAD" else ["-X", request.method]),
            *(part for name, value in request.headers for part in ("-H", f"{name}: {value}")),
        )
        for request in talk.requests
    ]
    ours = [each["status"] for each in answers[seen.component, seen.place, seen.vantage]["http"]]
    assert (ours or [0]) == (asked or [0]) if seen.posture != "client-cert-required" else set(asked) == {0}


def test_what_does_not_listen_is_closed(answers: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    closed = {key: seen["state"] for key, seen in answers.items() if key[0].endswith((":10255", ":2375"))}
    assert set(closed.values()) == {"closed"}
    assert len(closed) == 6


def test_dns_answers_a_pod(answers: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    seen = answers["cluster-dns", "10.96.0.10:53", POD]
    assert seen["state"] == "open"
    assert seen["detail"].startswith("DNS: ")


def test_the_stand_ins_token_is_not_told(record: Path, answers: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    (exchange,) = answers["aws-imds-token", METADATA, POD]["http"]
    assert (exchange["method"], exchange["status"], exchange["body"]) == ("PUT", 200, "")
    assert "X-aws-ec2-metadata-token:" not in record.read_text()
