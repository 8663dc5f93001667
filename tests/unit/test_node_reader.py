"""The pod that reads a node: no more than it takes, and a script whose two streams come over one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from kubeshield_tui.cli.main import _parser
from kubeshield_tui.cli.options import settings_from
from kubeshield_tui.evidence.collect.script import script, take_apart
from kubeshield_tui.vantages import node_reader
from kubeshield_tui.vantages.node_reader import NodeReader
from kubeshield_tui.vantages.pod_objects import reader_pod


def pod(architecture: str = "amd64") -> dict[str, Any]:
    return reader_pod("kube-audit", "kubeshield-1", "the-uid", "python:3-slim", "n1", architecture)


def test_it_may_read_rules_and_change_root_and_nothing_else() -> None:
    spec = pod()["spec"]
    security = spec["containers"][0]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "SYS_CHROOT"]}
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert "privileged" not in security
    assert spec["hostNetwork"] is True
    assert not {"hostPID", "hostIPC", "serviceAccountName"} & set(spec)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert spec["activeDeadlineSeconds"] == 300
    assert spec["nodeName"] == "n1"
    assert pod()["metadata"]["ownerReferences"][0]["uid"] == "the-uid"


@pytest.mark.parametrize("architecture", ["amd64", "arm64", ""])
def test_it_mounts_programs_read_only_makes_no_folder_and_sees_no_key(architecture: str) -> None:
    spec = pod(architecture)["spec"]
    mounts = spec["containers"][0]["volumeMounts"]
    assert all(mount["readOnly"] and mount["mountPath"].startswith("/host/") for mount in mounts)
    paths = {volume["hostPath"]["path"]: volume["hostPath"]["type"] for volume in spec["volumes"]}
    assert set(paths) - {"/lib64"} == {"/usr", "/bin", "/sbin", "/lib", "/proc", "/dev/null"}
    assert ("/lib64" in paths) is (architecture == "amd64")
    assert set(paths.values()) == {"Directory", "CharDevice"}  # neither makes what is not there
    assert {volume["name"] for volume in spec["volumes"]} == {mount["name"] for mount in mounts}


class _Stream:
    """An exec in which a real shell runs what it is sent."""

    def __init__(self) -> None:
        self._sent = b""
        self._output: list[bytes] | None = None

    async def write(self, data: bytes) -> None:
        self._sent += data

    async def read(self) -> bytes:
        if self._output is None:
            done = subprocess.run(["sh"], input=self._sent, capture_output=True, timeout=30, check=False)
            self._output = [done.stdout[at : at + 1000] for at in range(0, len(done.stdout), 1000)]
        return self._output.pop(0) if self._output else b""

    def complaint(self) -> str:
        return "cut"

    async def close(self) -> None:
        return None


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> tuple[NodeReader, list[Sequence[str]]]:
    asked: list[Sequence[str]] = []

    async def exec_in_pod(client: object, namespace: str, pod: str, container: str, command: Sequence[str]) -> _Stream:
        asked.append(command)
        return _Stream()

    monkeypatch.setattr(node_reader, "exec_in_pod", exec_in_pod)
    return NodeReader(None, "kube-audit", "n1", "python:3-slim", lambda event: None), asked  # type: ignore[arg-type]


async def test_both_streams_come_apart_as_they_were(reader: tuple[NodeReader, list[Sequence[str]]]) -> None:
    commands = {"one": "echo out", "two": "sh -c 'echo said >&2; echo \"a  b\"; exit 3'", "three": "no-such-tool -x"}
    told = await reader[0](("sh", "-c", script(commands)), timeout=10, limit=1 << 20)
    pieces = take_apart(told.stdout.decode(), told.stderr.decode())
    assert (pieces["one"].text, pieces["one"].exit_status) == ("out", 0)
    assert (pieces["two"].text, pieces["two"].exit_status) == ("a  b", 3)
    assert "said" in pieces["two"].complaint
    assert pieces["three"].exit_status == 127
    assert "no-such-tool: not found" in pieces["three"].complaint
    assert all(len(" ".join(command)) <= 200 for command in reader[1])  # argv travels in URLs and audit logs


async def test_an_answer_that_is_too_long_is_cut_and_says_so(reader: tuple[NodeReader, list[Sequence[str]]]) -> None:
    told = await reader[0](("sh", "-c", script({"one": "seq 5000"})), timeout=10, limit=2_000)
    assert told.truncated
    assert len(told.stdout) == 2_000
    assert take_apart(told.stdout.decode(), told.stderr.decode())["one"].exit_status is None


def test_reading_by_pods_is_a_flag_of_its_own() -> None:
    def settings(*flags: str) -> tuple[bool, bool]:
        made = settings_from(_parser().parse_args(["audit", "--no-discovery", "--vantage", "node:n1", *flags]))
        return made.read_firewalls, made.firewall_pods

    assert settings() == (False, False)
    assert settings("--yes") == (False, False)
    assert settings("--read-firewalls", "--yes") == (True, False)
    assert settings("--firewall-pods") == (True, True)
