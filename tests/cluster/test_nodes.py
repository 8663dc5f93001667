"""Nodes and pods in numbers on a real cluster: what they see, what they leave, what one failure does to the others.

Objects are made in namespaces of the test's own, but for the run with --per-namespace, whose subject is all of them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import kit

SPACE, TIGHT = "kubeshield-nodes", "kubeshield-tight"
SEEN = ("172.30.0.1:10250", "172.30.0.2:10250", "172.30.0.1:6443", "172.30.0.1:9", "10.96.0.10:53", "172.30.0.254:2222")
"""Kubelets, API, a closed port, DNS's service, a host outside."""
SILENT = tuple(f"172.30.0.77:{port}" for port in range(9000, 9040))
"""Nobody has that address: silence, then nothing but waiting."""


@pytest.fixture(scope="module", autouse=True)
def spaces() -> Iterator[None]:
    for name in (SPACE, TIGHT):
        kit.kubectl("create", "namespace", name)
    kit.kubectl("create", "quota", "none", "-n", TIGHT, "--hard=pods=0")
    yield
    for name in (SPACE, TIGHT):
        kit.kubectl("delete", "namespace", name, "--wait=true")


def targets(directory: Path, lines: tuple[str, ...]) -> list[str]:
    path = directory / "targets"
    path.write_text("\n".join(lines) + "\n")
    return ["--no-discovery", "--targets", str(path), "--pod-namespace", SPACE]


def only(directory: Path, *hosts: str) -> list[str]:
    """An ssh_config that has these hosts alone."""
    whole = kit.ssh_config(directory).read_text()
    kept = [part for part in re.split(r"(?m)^(?=Host )", whole) if part.partition("\n")[0][5:] in hosts]
    path = directory / "some_hosts"
    path.write_text("".join(kept))
    return ["--ssh-config", str(path)]


def states(audit: kit.Audit, vantage: str) -> dict[str, tuple[str, str]]:
    return {
        cell["endpoint"]: (cell["state"], cell["reason"])
        for cell in audit.report["cells"]
        if cell["vantage"] == vantage
    }


def made(audit: kit.Audit) -> set[str]:
    """Objects that a run made, each of which must be gone: (kind, namespace, name) as one word."""
    created = set(re.findall(r"created (\w+ \S+)", audit.err))
    for each in created:
        kind, _, place = each.partition(" ")
        namespace, _, name = place.partition("/")
        found = kit.kubectl("get", kind.lower(), name, "-n", namespace, "--ignore-not-found", "-o", "name")
        assert found == "", f"{each} was left"
    return created


def test_a_node_looks_the_same_from_its_pod_and_over_ssh(tmp_path: Path) -> None:
    named = targets(tmp_path, SEEN)
    pod = kit.audit(*named, *only(tmp_path, "node2"), "--vantage", "node:node1", "--vantage", "node:node2", "--yes")
    ssh = kit.audit(*named, *only(tmp_path, "node1", "node2"), "--vantage", "node:node1", "--vantage", "node:node2")
    assert {each.partition("/")[0] for each in made(pod)} == {f"Lease {SPACE}", f"Pod {SPACE}"}  # node1's alone
    assert len(made(pod)) == 2
    assert made(ssh) == set()
    for node in ("node:node1", "node:node2"):
        assert len(states(pod, node)) == len(SEEN)
        assert states(pod, node) == states(ssh, node)
    seen = {host: state for endpoint, state in states(pod, "node:node1").items() for host in SEEN if host in endpoint}
    assert seen["172.30.0.1:10250"][0] == seen["172.30.0.1:6443"][0] == seen["172.30.0.2:10250"][0] == "open"
    assert seen["172.30.0.1:9"] == ("closed", "conn-refused")
    assert {(v["kind"], v["zone"], v["status"]) for v in pod.report["vantages"]} == {("node", "node", "ready")}


def test_without_consent_nothing_is_made(tmp_path: Path) -> None:
    before = kit.kubectl("get", "pods,leases", "-n", SPACE, "-o", "name")
    chosen = ["--per-node", "--per-namespace", "--vantage", "node:node1", "--vantage", f"pod:{SPACE}"]
    refused = kit.audit(*targets(tmp_path, SEEN), *only(tmp_path), *chosen)
    assert (refused.code, refused.report) == (2, {})
    for line in (f"Pod {SPACE}/kubeshield-... on node node1: hostNetwork", f"Pod {SPACE}/kubeshield-... on node node2",
                 "Pod payments/kubeshield-...", "Pod kube-system/kubeshield-..."):  # fmt: skip
        assert line in refused.err
    assert "created" not in refused.err.replace("would be created", "")
    assert kit.kubectl("get", "pods,leases", "-n", SPACE, "-o", "name") == before


def test_all_namespaces_and_all_nodes(tmp_path: Path) -> None:
    audit = kit.audit(*targets(tmp_path, SEEN), *only(tmp_path), "--per-node", "--per-namespace", "--yes")
    assert audit.code in {0, 1, 3}, audit.err
    ready = {vantage["id"] for vantage in audit.report["vantages"] if vantage["status"] == "ready"}
    expected = {"pod:shop", "pod:payments", "pod:kube-system", f"pod:{SPACE}@node1", f"pod:{SPACE}@node2"}
    assert ready >= expected
    assert [line for line in audit.report["incomplete"] if line.split(": ")[0] in expected] == []
    assert len(made(audit)) >= 2 * len(expected)
    for node in ("node1", "node2"):
        assert ("open", "syn-ack") in states(audit, f"pod:{SPACE}@{node}").values()


def test_each_pod_runs_where_it_was_asked_for(tmp_path: Path) -> None:
    chosen = ["--vantage", f"pod:{SPACE}@node1", "--vantage", f"pod:{SPACE}@node2"]
    process = kit.start(
        "audit", "--kubeconfig", kit.kit("kubeconfig", "--netns"), "--yes", *targets(tmp_path, SILENT), *chosen
    )
    query = ("get", "pods", "-n", SPACE, "-o", "jsonpath={.items[*].spec.nodeName}")
    kit.wait_until(lambda: sorted(kit.kubectl(*query).split()) == ["node1", "node2"], "a pod on each node")
    _, err = process.communicate(timeout=kit.LIMIT)
    made(kit.Audit(process.returncode, "", err))


def test_what_can_not_be_had_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    specs = ("local", f"pod:{SPACE}", f"pod:{TIGHT}", "pod:nowhere", f"pod:{SPACE}@node9", "node:node9")
    chosen = [word for spec in specs for word in ("--vantage", spec)]
    audit = kit.audit(*targets(tmp_path, SEEN), *only(tmp_path), *chosen, "--yes")
    assert audit.code in {1, 3}, audit.err
    said = {vantage["id"]: (vantage["status"], vantage["detail"]) for vantage in audit.report["vantages"]}
    assert said["local"][0] == said[f"pod:{SPACE}"][0] == "ready"
    for vantage, words in {
        f"pod:{TIGHT}": "quota",
        "pod:nowhere": "there is no namespace nowhere",
        f"pod:{SPACE}@node9": "there is no node node9",
        "node:node9": "there is no node node9",
    }.items():
        assert said[vantage][0] == "failed"
        assert words in said[vantage][1]
    assert ("open", "syn-ack") in states(audit, f"pod:{SPACE}").values()
    made(audit)


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    chosen = ["--vantage", "local", "--vantage", f"pod:{SPACE}", "--pod-image", "registry.invalid/none:1"]
    audit = kit.audit(*targets(tmp_path, SEEN), *chosen, "--yes")
    said = {vantage["id"]: (vantage["status"], vantage["detail"]) for vantage in audit.report["vantages"]}
    assert said["local"][0] == "ready"
    assert said[f"pod:{SPACE}"][0] == "failed"
    assert "ErrImagePull" in said[f"pod:{SPACE}"][1] or "ImagePullBackOff" in said[f"pod:{SPACE}"][1]
    assert "--pod-image" in said[f"pod:{SPACE}"][1]
    made(audit)


def test_a_pod_that_is_deleted_in_the_middle(tmp_path: Path) -> None:
    """The vantage is lost and made anew under the same consent; only what was missing is asked."""
    record = tmp_path / "record"
    chosen = ["--vantage", f"pod:{SPACE}", "--record", str(record), "--rate", "20", "--yes", "--format", "json"]
    process = kit.start(
        "audit", "--kubeconfig", kit.kit("kubeconfig", "--netns"), *targets(tmp_path, SILENT + SEEN), *chosen
    )

    def answered() -> list[str]:
        return re.findall(r'"endpoint":"[^"]*172\.30\.0\.77[^"]*"[^\n]*no-response', record.read_text())

    kit.wait_until(lambda: record.exists() and answered(), "the first silence that counts")
    query = ("get", "pods", "-n", SPACE, "-l", "app.kubernetes.io/managed-by=kubeshield", "-o", "name")
    (first,) = kit.kubectl(*query).split()
    kit.kubectl("delete", first, "-n", SPACE, "--grace-period=0", "--force")
    out, err = process.communicate(timeout=kit.LIMIT)
    audit = kit.Audit(process.returncode, out, err)
    assert "lost" in err
    pods = {each for each in made(audit) if each.startswith("Pod ")}
    assert len(pods) == 2, err
    got = states(audit, f"pod:{SPACE}")
    assert len(got) == len(SILENT) + len(SEEN)
    silent = {state for endpoint, state in got.items() if "172.30.0.77" in endpoint}
    # The pod's node looks for the address itself and, within its limit of ICMP errors, may say that nobody has it.
    assert silent <= {("filtered", "no-response"), ("filtered", "host-unreach")}, silent
    assert {endpoint: state for endpoint, state in got.items() if state[0] == "lost"} == {}
    assert next(state for endpoint, state in got.items() if "172.30.0.1:10250" in endpoint) == ("open", "syn-ack")


REQUESTS = """
import asyncio, json, sys
from kubeshield_tui.cluster import client, exec as execs
from kubeshield_tui.cli.main import main
seen = []
real = client.ClusterClient.request
async def request(self, method, path, *rest, **named):
    seen.append(method + " " + path)
    return await real(self, method, path, *rest, **named)
client.ClusterClient.request = request
from kubeshield_tui.vantages import pod
opened = pod.exec_in_pod
async def exec_in_pod(*rest):
    seen.append("EXEC")
    return await opened(*rest)
pod.exec_in_pod = exec_in_pod
try:
    main()
finally:
    print(json.dumps(seen), file=sys.stderr)
"""


def test_four_hundred_targets_from_one_pod_cost_a_dozen_requests(tmp_path: Path) -> None:
    many = tuple(f"172.30.0.{1 + number % 2}:{10000 + number}" for number in range(400))
    done = subprocess.run(
        [kit.KIT, "exec-net", "outside", sys.executable, "-c", REQUESTS, "audit", "--kubeconfig",
         kit.kit("kubeconfig", "--netns"), *targets(tmp_path, many), "--vantage", f"pod:{SPACE}", "--yes",
         "--format", "json"],
        capture_output=True, text=True, timeout=kit.LIMIT, check=False,
    )  # fmt: skip
    audit = kit.Audit(done.returncode, done.stdout, done.stderr)
    assert len(states(audit, f"pod:{SPACE}")) == 400
    asked = json.loads(done.stderr.strip().splitlines()[-1])
    looks = [each for each in asked if re.fullmatch(r"GET .*/pods/[^/]+", each)]
    reviews = [each for each in asked if each.endswith("/selfsubjectaccessreviews")]
    assert len(reviews) == 2  # nothing is made that may not be removed
    assert len(asked) - len(looks) - len(reviews) <= 8, asked
    assert len(looks) <= 8, asked  # 3 or 4 where the machine is not busy: 12 in all, beside the reviews
    made(audit)


@pytest.fixture
def going() -> Iterator[str]:
    """A namespace that is terminating and can't end."""
    name, hold = "kubeshield-going", ("patch", "configmap", "held", "-n", "kubeshield-going", "--type=merge", "-p")
    kit.kubectl("create", "namespace", name)
    kit.kubectl("create", "configmap", "held", "-n", name)
    kit.kubectl(*hold, '{"metadata":{"finalizers":["example.org/held"]}}')
    kit.kubectl("delete", "namespace", name, "--wait=false")
    yield name
    kit.kubectl(*hold, '{"metadata":{"finalizers":null}}')
    kit.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=60s")


def test_a_namespace_that_is_terminating(tmp_path: Path, going: str) -> None:
    audit = kit.audit(*targets(tmp_path, SEEN[:1]), "--vantage", "local", "--vantage", f"pod:{going}", "--yes")
    said = {vantage["id"]: (vantage["status"], vantage["detail"]) for vantage in audit.report["vantages"]}
    assert said["local"][0] == "ready"
    assert said[f"pod:{going}"][0] == "failed"
    assert "the namespace is terminating" in said[f"pod:{going}"][1]
    assert made(audit) == set()
