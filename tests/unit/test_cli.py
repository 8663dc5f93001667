"""The command line: instant help, errors that name the flag, exit code 2, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kubeshield_tui.cli.main import run


def kubeshield(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from kubeshield_tui.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["audit", "--help"], ["demo", "--help"]])
def test_help_is_instant_and_loads_no_front_end(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom kubeshield_tui.cli.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'textual', 'rich', 'kubernetes', 'asyncssh', 'httpx', 'nmap', 'aiohttp', 'asyncio'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["audit", "--vantage", "pod:Shop!"], "pod:Shop!"),
        (["audit", "--vantage", "ssh:-oProxyCommand=x"], "-oProxyCommand"),
        (["audit", "--vantage", "node:UPPER"], "node"),
        (["audit", "--zone", "local=nowhere"], "local=nowhere"),
        (["audit", "--zone", "ssh:x=outside"], "ssh:x"),
        (["audit", "--cni", "hostnetwork=no"], "hostnetwork-subject"),
        (["audit", "--cni", "prod:enforces=maybe"], "yes, no or unknown"),
        (["audit", "--cni", "enforces"], "enforces"),
        (["audit", "--cni", "deny-style=yes"], "drop, reject, icmp or unknown"),
        (["audit", "--cni", "hairpin=yes,hairpin=no"], "both yes and no"),
        (["audit", "--cni", "hairpin=yes,"], "hairpin=yes,"),
        (["audit", "--self-test", "--kubeconfig", "/no/such/config"], "/no/such/config"),
        (["audit", "--no-discovery", "--cni", "elsewhere:enforces=yes"], "elsewhere"),
        (["--cni", "enforces=yes", "demo"], "--cni"),
        (["audit", "--timeout", "0"], "--timeout"),
        (["audit", "--attempts", "99"], "--attempts"),
        (["audit", "--rate", "-1"], "--rate"),
        (["audit", "--targets", "/no/such/file"], "/no/such/file"),
        (["audit", "--ssh-config", "/no/such/file"], "/no/such/file"),
        (["audit", "--format", "sarif"], "sarif"),
        (["audit", "--format", "yaml"], "yaml"),
        (["audit", "--expect", "x.toml"], "--expect"),
        (["audit", "--pod-namespace", "-n"], "--pod-namespace"),
        (["audit", "--pod-namespace", "a/b"], "a/b"),
        (["audit", "--kubeconfig", "/no/such/config"], "/no/such/config"),
        (["--context", "prod", "demo"], "--context"),
        ([], "terminal"),
    ],
)
def test_bad_input_is_named_with_exit_code_2(arguments: list[str], named: str) -> None:
    done = kubeshield(*arguments)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_own_pod_without_consent_prints_the_list_and_exits_2(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: prod\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {token: t}}]\ncontexts: [{name: prod, context: {cluster: c, user: u}}]\n"
    )
    done = kubeshield("audit", "--kubeconfig", str(config), "--vantage", "pod:shop")
    assert done.returncode == 2
    assert "Pod shop/kubeshield-" in done.stderr
    assert "Lease shop/kubeshield-" in done.stderr
    assert "--yes" in done.stderr


def test_an_audit_of_targets_needs_no_kubeconfig_and_writes_its_output_whole(tmp_path: Path) -> None:
    import socket

    targets, output, record = tmp_path / "targets.txt", tmp_path / "report.json", tmp_path / "events.ndjson"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        targets.write_text(f"127.0.0.1:{port} expect=blocked\n")
        done = kubeshield(
            "audit", "--no-discovery", "--targets", str(targets), "--format", "json", "--output", str(output),
            "--record", str(record),
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    report = json.loads(output.read_text())
    assert [cell["verdict"] for cell in report["cells"]] == ["exposed"]
    assert report["findings"][0]["endpoint"] == f"127.0.0.1:{port}/tcp"
    assert record.stat().st_mode & 0o077 == 0
    events = [json.loads(line)["event"] for line in record.read_text().splitlines()]
    assert (events[0], events[-1]) == ("SessionStarted", "SessionEnded")
    assert list(tmp_path.glob(".*part")) == []


def test_an_output_that_can_not_be_written_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    done = kubeshield("audit", "--no-discovery", "--output", str(tmp_path / "no" / "report"))
    assert done.returncode == 2
    assert "--output" in done.stderr


def test_schema_prints_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert "findings" in json.loads(capsys.readouterr().out)["properties"]


def test_a_vantage_that_does_not_open_does_not_hold_up_the_others_and_makes_it_incomplete(tmp_path: Path) -> None:
    targets = tmp_path / "targets.txt"
    targets.write_text("127.0.0.1:1\n")
    done = kubeshield(
        "audit", "--no-discovery", "--targets", str(targets), "--vantage", "local", "--vantage", "ssh:no.invalid",
        "--format", "json",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert {vantage["id"]: vantage["status"] for vantage in report["vantages"]} == {
        "local": "ready",
        "ssh:no.invalid": "failed",
    }
    assert any("ssh:no.invalid" in line for line in report["incomplete"])
    verdicts = {cell["vantage"]: cell["verdict"] for cell in report["cells"]}
    assert verdicts == {"local": "dead", "ssh:no.invalid": "untested"}


def test_ctrl_c_ends_in_order_with_what_is_known(tmp_path: Path) -> None:
    import signal
    import time

    targets, record = tmp_path / "targets.txt", tmp_path / "events.ndjson"
    targets.write_text("".join(f"127.0.0.1:{port}\n" for port in range(1, 400)))
    code = "from kubeshield_tui.cli.main import main; main()"
    arguments = ["audit", "--no-discovery", "--targets", str(targets), "--rate", "20", "--record", str(record)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        end = time.monotonic() + 20
        while not (record.exists() and b"CellObserved" in record.read_bytes()):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "measured" in out
    assert json.loads(record.read_text().splitlines()[-1])["event"] == "SessionEnded"
