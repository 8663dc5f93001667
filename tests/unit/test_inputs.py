"""What users and clusters hand us: kubeconfigs, targets files, raw objects, agents' lines. Errors name the place."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeshield_tui.cluster import credentials, resources, services
from kubeshield_tui.cluster.client import connect
from kubeshield_tui.cluster.kubeconfig import read_kubeconfig
from kubeshield_tui.discovery.catalogue import conversation_of
from kubeshield_tui.discovery.control_plane import shown_server
from kubeshield_tui.discovery.targets_file import read_targets
from kubeshield_tui.errors import ClusterError, KubeShieldError, ProbeError, SettingsError
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import HttpExchange, Posture, State, TlsFacts
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.probes import agent as agent_module
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.certificate import read_certificate
from kubeshield_tui.probes.posture import read
from kubeshield_tui.range.scenario import load_scenario

AGENT = Path(agent_module.__file__)


def config(path: Path, name: str = "prod", user: dict[str, object] | None = None, port: int = 1) -> Path:
    text = {
        "current-context": name,
        "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps(text))
    return path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: [1\n\tb", "line 2"),
        ("- just\n- a list", "expected a mapping"),
        ("contexts: 7", "contexts"),
        ("contexts: [{context: {}}]", "contexts[0]"),
        ("users: [{name: u, user: [1]}]", "users[0].user"),
    ],
)
def test_a_broken_kubeconfig_names_file_and_place(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_kubeconfig(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


def test_contexts_merge_as_kubectl_merges_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = config(tmp_path / "a", "prod", port=1), config(tmp_path / "b", "staging", port=2)
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}")
    read = read_kubeconfig(None)
    assert read.current == "prod"
    assert [entry.name for entry in read.contexts] == ["prod", "staging"]
    assert {entry.server for entry in read.contexts} == {"https://127.0.0.1:1"}  # cluster `c` of the first file wins
    with pytest.raises(SettingsError, match="Did you mean staging"):
        read.context("stagign")


@pytest.mark.parametrize(
    ("server", "shown", "host", "port"),
    [
        ("https://203.0.113.1:6443", "", "203.0.113.1", 6443),
        ("https://api.example.org", "", "api.example.org", 443),
        ("http://[2001:db8::1]:8080", "", "2001:db8::1", 8080),
        ("https://127.0.0.1:9", "203.0.113.10:6443", "203.0.113.10", 6443),
        ("https://host:notaport", "", "", 0),
    ],
)
def test_server_addresses(tmp_path: Path, server: str, shown: str, host: str, port: int) -> None:
    from msgspec.structs import replace

    entry = replace(read_kubeconfig(config(tmp_path / "c")).context("prod"), server=server, shown_address=shown)
    assert shown_server(entry) == (host, port)


async def test_a_plugin_that_fails_or_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plugin(*command: str) -> dict[str, object]:
        version = "client.authentication.k8s.io/v1"
        return {"exec": {"apiVersion": version, "command": command[0], "args": list(command[1:])}}

    failing = config(tmp_path / "f", user=plugin("/bin/sh", "-c", "echo log in first >&2; exit 3"))
    with pytest.raises(ClusterError, match=r"/bin/sh.*log in first"):
        await connect("prod", failing)
    monkeypatch.setattr(credentials, "PLUGIN_SECONDS", 0.3)
    seconds = f"61.{os.getpid()}"  # ours, whoever else runs these tests
    hanging = config(tmp_path / "h", user=plugin("/bin/sleep", seconds))
    with pytest.raises(ClusterError, match=r"/bin/sleep.*did not end"):
        await connect("prod", hanging)
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"/bin/sleep {seconds}" not in running.splitlines()


async def test_a_server_that_is_not_there_is_said_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"prod \(https://127.0.0.1:1\) can't be reached"):
        await connect("prod", config(tmp_path / "c"))


def test_targets_of_every_form(tmp_path: Path) -> None:
    path = tmp_path / "targets.txt"
    path.write_text(
        "# comment\n203.0.113.10:6443 expect=blocked # why\n[2001:db8::1]:443/tcp\n\nDB.example.org:8000-8002 "
        "expect=reachable\n169.254.169.254:80\n"
    )
    found = read_targets(path)
    assert [(each.host, each.port, each.declared) for each in found] == [
        ("203.0.113.10", 6443, "blocked"),
        ("2001:db8::1", 443, ""),
        *(("db.example.org", port, "reachable") for port in (8000, 8001, 8002)),
        ("169.254.169.254", 80, ""),
    ]
    assert found[0].component == "kube-apiserver"
    assert found[0].source == "targets.txt:2"
    assert found[-1].component == "cloud-metadata"


@pytest.mark.parametrize(
    "line",
    [
        "host",
        "host:0",
        "host:70000",
        "host:9-3",
        "host:53/sctp",
        "host:1/xyz",
        "host:1 expect=maybe",
        "-oN:80",
        "[::1:80",
        "999.1.1.1:80",
        "ho st:80",
        "a..b:1",
        "host:1-65535\nother:1-65535",
    ],
)
def test_a_bad_target_names_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "targets.txt"
    path.write_text(f"127.0.0.1:1\n{line}\n")
    with pytest.raises(SettingsError, match=r"targets.txt:[23]:"):
        read_targets(path)


FIELDS = """metadata name namespace labels spec status ports port addresses address podIP podIPs ip type subsets
endpoints targetRef kind conditions ingress podSelector matchLabels matchExpressions key values policyTypes egress
containers clusterIP clusterIPs loadBalancer daemonEndpoints kubeletEndpoint""".split()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "subsets", "endpoints", "ports"]), JSON))
def test_no_object_of_the_world_raises_and_all_its_text_is_printable(raw: dict[str, object]) -> None:
    records = [
        resources.node_record(raw, "c"),
        resources.namespace_record(raw, "c"),
        resources.pod_record(raw, "c"),
        resources.policy_record(raw, "c"),
        services.service_record(raw, "c"),
        services.slice_record(raw, "c"),
        services.endpoints_record(raw, "c"),
    ]
    for record in records:
        if record is not None:
            text = str(record).replace("\\n", "")
            assert text.isprintable()


@given(st.text())
def test_printable_text_is_printable_and_short(text: str) -> None:
    shown = printable(text, 50)
    assert shown.isprintable()
    assert len(shown) <= 50
    assert all(line.replace("\t", "").isprintable() for line in printable(text, 50, lines=True).split("\n"))
    if text.isprintable() and len(text) <= 50:
        assert shown == text


@pytest.mark.parametrize(
    "spec", ["ssh:-oProxyCommand=x", "pod:A", "pod:a/b@n", "ssh:h:0", "ssh:h:99999", "", "pod:", "x:y"]
)
def test_specs_that_are_none(spec: str) -> None:
    with pytest.raises(SettingsError):
        parse_vantage(spec)


PROBE = Probe(endpoint=EndpointId("e"), vantage=VantageId("v"), host="h", port=1)


@given(
    st.dictionaries(
        st.sampled_from(["state", "reason", "attempts", "steps", "tls", "http", "icmp", "ms", "banner"]), JSON
    )
)
def test_results_that_are_not_ours_are_a_probe_error_at_worst(told: dict[str, object]) -> None:
    with contextlib.suppress(ProbeError):
        protocol.observation(PROBE, {"state": "open", "reason": "syn-ack", **told}, 1.0, b"raw")


@given(st.binary(max_size=400))
def test_certificates_that_are_none_keep_their_fingerprint(der: bytes) -> None:
    read = read_certificate(der)
    assert (read is None) == (der == b"")
    if read is not None:
        assert len(read.sha256) == 64


def http(path: str, status: int, body: str = "") -> HttpExchange:
    return HttpExchange(method="GET", path=path, status=status, body=body)


@pytest.mark.parametrize(
    ("component", "tls", "answers", "wanted"),
    [
        ("kube-apiserver", TlsFacts(version="TLSv1.3"), [http("/version", 200)], Posture.TLS),
        ("kube-apiserver", None, [http("/version", 200), http("/api/v1/namespaces?limit=1", 200)], Posture.ANONYMOUS),
        ("kube-apiserver", None, [http("/version", 200), http("/api/v1/namespaces?limit=1", 403)], Posture.FORBIDDEN),
        ("kube-apiserver", None, [http("/version", 401)], Posture.AUTH_REQUIRED),
        ("kubelet", None, [http("/healthz", 200), http("/pods", 401)], Posture.AUTH_REQUIRED),
        ("kubelet", None, [http("/healthz", 200), http("/pods", 200)], Posture.ANONYMOUS),
        ("etcd", TlsFacts(client_certificate="required"), [], Posture.CLIENT_CERT_REQUIRED),
        ("etcd", TlsFacts(version="TLSv1.2"), [http("/version", 200, '{"etcdserver":"3.5"}')], Posture.ANONYMOUS),
        ("cloud-metadata", None, [http("/latest/meta-data/", 200)], Posture.ANONYMOUS),
        ("cloud-metadata", None, [http("/latest/meta-data/", 401)], Posture.AUTH_REQUIRED),
        ("kubelet-read-only", None, [http("/healthz", 200)], Posture.ANONYMOUS),
        ("service", None, [http("/", 200)], Posture.PLAIN),
        ("service", TlsFacts(version="TLSv1.3"), [http("/", 200)], Posture.TLS),
        ("service", None, [], Posture.UNKNOWN),
    ],
)
def test_postures(component: str, tls: TlsFacts | None, answers: list[HttpExchange], wanted: Posture) -> None:
    talk = conversation_of(component, 0)
    assert read(talk, State.OPEN, tls, tuple(answers), ()).posture is wanted
    assert read(talk, State.FILTERED, tls, tuple(answers), ()) == (Posture.UNKNOWN, "", ())


def pythons() -> list[str]:
    """The running one, and every other that is installed beside it."""
    found = sorted(Path(sys.base_prefix).parent.glob("3.*/bin/python"))
    return list(dict.fromkeys([sys.executable, *map(str, found)]))


@pytest.mark.parametrize("python", pythons())
def test_the_agent_runs_on_every_python_that_is_here(python: str) -> None:
    assert sum(map(len, protocol.BOOTSTRAP)) + 4 <= 200
    ast.parse(AGENT.read_text(), feature_version=(3, 6))
    question = Probe(endpoint=PROBE.endpoint, vantage=PROBE.vantage, host="127.0.0.1", port=1)
    with subprocess.Popen([python, *protocol.BOOTSTRAP[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(protocol.agent_line())
        process.stdin.flush()
        hello = json.loads(process.stdout.readline())
        assert (hello["op"], hello["version"]) == ("hello", 1)
        process.stdin.write(protocol.probe_line([("7", question)]) + b'not json\n{"op":"what"}\n')
        process.stdin.write(protocol.line(op="ping", seq=5) + protocol.line(op="end"))
        process.stdin.flush()
        told = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    (result,) = [line for line in told if line["op"] == "result"]
    assert (result["id"], result["state"], result["reason"]) == ("7", "closed", "conn-refused")
    assert [line["op"] for line in told].count("error") == 2
    assert {"op": "pong", "seq": 5} in told
    assert told[-1] == {"op": "bye"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[listeners]", "[listenerz]"), "listenerz"),
        (('= "etcd"', '= "etcdd"'), "etcdd"),
        (('pod:payments = "', 'pod:nobody = "'), ""),
        (('zone = "admin"', 'zone = "admin"\nnonsense = 1'), "nonsense"),
    ],
)
def test_a_scenario_that_is_wrong_is_refused_with_its_key(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    from importlib import resources as files

    text = files.files("kubeshield_tui.range").joinpath("scenarios/default.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change))
    if not named:
        path.write_text(text.replace('"pod:payments" = "', '"pod:nobody" = "', 1))
        named = "pod:payments"
    with pytest.raises(KubeShieldError, match=named):
        load_scenario(str(path))
