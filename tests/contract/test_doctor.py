"""`kubeshield doctor` on the range: what works is said to work, each thing that breaks is named with what to do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.cluster.access import REVIEWS
from kubeshield_tui.cluster.rights import Feature, rights_of
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.range.api import Api
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.report.doctor import doctor_text
from kubeshield_tui.session.doctor import cluster as cluster_module
from kubeshield_tui.session.doctor import vantages as vantages_module
from kubeshield_tui.session.doctor.check import Check, Diagnosis, Health
from kubeshield_tui.session.doctor.diagnose import diagnose
from kubeshield_tui.settings.schema import Settings
from tests.contract.authorizer import Authorizer, Grant
from tests.contract.served import Server, all_objects, settings, watch


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return watch(monkeypatch)


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


async def look(training: TrainingRange, *vantages: str, **others: Any) -> Diagnosis:
    return await diagnose(settings(training, *vantages, **{"discovery": True, **others}))


def changed(training: TrainingRange, pattern: str, replacement: str) -> Path:
    """The range's kubeconfig with something else in it."""
    path = training.kubeconfig.with_name("changed")
    text, count = re.subn(pattern, replacement, training.kubeconfig.read_text())
    assert count
    path.write_text(text)
    return path


def of(diagnosis: Diagnosis, area: str, subject: str | None = None) -> list[Check]:
    return [each for each in diagnosis.checks if each.area == area and subject in {None, each.subject}]


def broken(diagnosis: Diagnosis) -> list[Check]:
    return [each for each in diagnosis.checks if each.health is Health.BROKEN]


# --- what works


async def test_all_is_well_on_the_range_and_nothing_is_made(training: TrainingRange, server: Server) -> None:
    before = await all_objects(training)
    server.asked.clear()
    told = await look(training, "local", "pod:shop", "pod:shop/web-6d4f9", "pod:shop@n1", "ssh:jump")
    assert told.ok, broken(told)
    assert {each.health for each in of(told, "vantage")} == {Health.OK}
    assert [each.said for each in of(told, "rights")] == ["discovery", "watch", "exec", "own-pods"]
    said = "; ".join(each.said for each in of(told, "cluster", "range"))
    for word in ("answers in", "v1.", "user trainee is accepted", "its certificate ends 20", "clocks agree"):
        assert word in said
    assert "all rights in shop; nothing was made" in of(told, "vantage", "pod:shop")[0].said
    assert of(told, "vantage", "local")[0].said.startswith("opens: python 3.")
    way, opened = of(told, "vantage", "ssh:jump")
    assert "known_hosts_jump line 1" in way.said
    assert opened.said.startswith("opens: python 3.")
    assert {method for method, path in server.asked if path != REVIEWS} == {"GET"}
    assert await all_objects(training) == before


@pytest.mark.parametrize("is_ascii", [False, True])
async def test_it_is_one_screen_of_80_columns(training: TrainingRange, is_ascii: bool) -> None:
    lines = doctor_text(await look(training, "local"), ascii_only=is_ascii).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "".join(lines).isascii() is is_ascii


async def test_long_names_are_folded(training: TrainingRange) -> None:
    check = Check(
        area="vantage", subject="pod:" + "x" * 63 + "/" + "y" * 200, health=Health.BROKEN, said="z" * 300, hint="w" * 99
    )
    text = doctor_text(Diagnosis(version="1", ok=False, checks=(check,)))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("z") == 300


# --- what does not


async def test_without_a_kubeconfig_it_says_so_and_looks_at_the_rest(tmp_path: Path) -> None:
    told = await diagnose(
        Settings(kubeconfig=tmp_path / "none", vantages=(parse_vantage("local"), parse_vantage("pod:shop")))
    )
    assert {each.area for each in broken(told)} == {"kubeconfig", "vantage"}
    assert of(told, "vantage", "pod:shop")[0].said == "its cluster can't be asked"
    assert of(told, "vantage", "local")[0].health is Health.OK
    told = await diagnose(Settings(kubeconfig=tmp_path / "none", discovery=False, vantages=(parse_vantage("local"),)))
    assert told.ok  # targets need none
    assert of(told, "kubeconfig")[0].health is Health.ABSENT


async def test_a_broken_kubeconfig_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("contexts:\n\t- a\n")
    told = await diagnose(Settings(kubeconfig=path))
    assert f"{path} line 2" in broken(told)[0].said


async def test_a_context_that_is_not_there_is_wrong_use(training: TrainingRange) -> None:
    with pytest.raises(SettingsError, match="prod"):
        await look(training, contexts=("prod",))


async def test_an_api_that_is_not_there(training: TrainingRange) -> None:
    config = changed(training, r"https://127.0.0.1:\d+", "https://127.0.0.1:1")
    told = await look(training, "pod:shop", "local", kubeconfig=config)
    api, pod = broken(told)
    assert (api.area, api.subject, pod.subject) == ("cluster", "range", "pod:shop")
    assert "can't be reached" in api.said
    assert api.hint
    assert of(told, "vantage", "local")[0].health is Health.OK


async def test_credentials_that_are_not_accepted(training: TrainingRange) -> None:
    told = await look(training, kubeconfig=changed(training, r'"token": "[^"]*"', '"token": "wrong"'))
    (api,) = broken(told)
    assert "the credentials of user trainee are not accepted (401)" in api.said
    assert "wrong" not in doctor_text(told)


async def test_an_authority_that_did_not_sign_the_server(training: TrainingRange, tmp_path: Path) -> None:
    async with TrainingRange() as other:
        (foreign,) = re.findall(r'"certificate-authority-data": "([^"]*)"', other.kubeconfig.read_text())
    told = await look(training, kubeconfig=changed(training, r'(authority-data": )"[^"]*"', rf'\1"{foreign}"'))
    (api,) = broken(told)
    assert "TLS" in api.said


async def test_no_credentials_at_all_are_not_taken_for_a_log_in(training: TrainingRange, server: Server) -> None:
    told = await look(training, kubeconfig=changed(training, r'"token": "[^"]*"', ""))
    user = of(told, "cluster", "range")[1]
    assert user.health is Health.UNKNOWN
    assert "no access review is answered" in user.said
    assert of(told, "rights") == []


@pytest.mark.parametrize(("seconds", "words"), [(3600, "3600 s ahead of"), (-90, "90 s behind"), (2, "clocks agree")])
async def test_clocks_that_differ(
    training: TrainingRange, monkeypatch: pytest.MonkeyPatch, seconds: int, words: str
) -> None:
    from email.utils import formatdate
    from time import time

    real = Api._version

    def late(self: Api) -> web.Response:
        answer = real(self)
        answer.headers["Date"] = formatdate(time() + seconds, usegmt=True)
        return answer

    monkeypatch.setattr(Api, "_version", late)
    told = await look(training)
    (clock,) = [each for each in of(told, "cluster") if "clock" in each.said]
    assert words in clock.said
    assert told.ok


async def test_an_api_that_answers_nonsense_breaks_nothing_else(training: TrainingRange, server: Server) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>\x1b]0;owned\x07log in</html>", headers={"Date": "yesterday"})

    server.answer = answer
    told = await look(training, "pod:shop", "local")
    assert {each.area for each in broken(told)} == {"cluster", "vantage"}
    assert "\x1b" not in doctor_text(told)


# --- rights


async def test_rights_that_lack_are_said_with_the_command_that_prints_the_role(
    training: TrainingRange, server: Server
) -> None:
    lists = {Grant("", "list", right.group, right.resource) for right in rights_of([Feature.DISCOVERY])}
    server.answer = Authorizer(lists - {Grant("", "list", "", "nodes")})
    told = await look(training, "pod:shop", "local")
    rights = {each.subject: each for each in of(told, "rights")}
    assert rights["discovery"].health is Health.LIMITED
    assert rights["discovery"].said == "not granted: list nodes"
    assert "rbac --feature discovery" in rights["discovery"].hint
    assert (rights["watch"].health, rights["own-pods"].health) == (Health.LIMITED, Health.ABSENT)
    (pod,) = broken(told)
    assert pod.subject == "pod:shop"
    assert "not granted in shop: get, create, delete pods" in pod.said
    assert "rbac --feature own-pods --namespace shop" in pod.hint


async def test_discovery_that_may_read_nothing_is_broken(training: TrainingRange, server: Server) -> None:
    server.answer = Authorizer(set())
    assert [each.subject for each in broken(await look(training))] == ["discovery"]


async def test_places_of_pods_that_are_not_there(training: TrainingRange) -> None:
    told = await look(training, "pod:nowhere", "pod:shop@n9", "pod:shop/none")
    said = {each.subject: each.said for each in broken(told)}
    assert said["pod:nowhere"] == "there is no namespace nowhere"
    assert "there is no node n9" in said["pod:shop@n9"]
    assert "not found" in said["pod:shop/none"]


# --- SSH and limits


async def test_an_unknown_host_key_and_a_host_that_is_not_there(training: TrainingRange, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    text = training.ssh_config.read_text()
    config.write_text(re.sub(r"(UserKnownHostsFile) .*", rf"\1 {tmp_path}/none", text))
    told = await look(training, "ssh:jump", "ssh:gone.invalid", ssh_config=config, discovery=False)
    way, opened = of(told, "vantage", "ssh:jump")
    assert way.health is Health.LIMITED
    assert "is in no known_hosts" in way.said
    assert "unknown host key" in opened.said
    assert {each.subject for each in broken(told)} == {"ssh:jump", "ssh:gone.invalid"}


async def test_no_host_is_connected_to_that_was_not_named(
    training: TrainingRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubeshield_tui.vantages import ssh_connection

    async def never(*_: object) -> None:
        raise AssertionError("it connected")

    monkeypatch.setattr(ssh_connection, "connect", never)
    told = await look(training, "local")
    assert any("2 hosts" in each.said for each in of(told, "ssh"))


async def test_an_agent_that_does_not_answer_is_said(
    training: TrainingRange, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    (agent,) = of(await look(training, "local"), "ssh")[1:]
    assert agent.health is Health.LIMITED
    assert str(tmp_path / "gone") in agent.said


async def test_a_host_that_never_answers_is_given_up(
    training: TrainingRange, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vantages_module, "OPEN_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = tmp_path / "ssh_config"
        config.write_text(f"Host mute\n  HostName 127.0.0.1\n  Port {silent.getsockname()[1]}\n")
        told = await look(training, "ssh:mute", ssh_config=config, discovery=False)
    assert "did not open within 0.3 s" in broken(told)[0].said


def test_a_certificate_that_ends_soon_is_said() -> None:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from kubeshield_tui.cluster.greeting import Greeting

    def ending(days: float) -> bytes:
        key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        made = (
            made.serial_number(1).not_valid_before(now - timedelta(days=99)).not_valid_after(now + timedelta(days=days))
        )
        return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    checks = cluster_module._certificates("c", Greeting(certificate=ending(3.5), own_certificate=ending(-2)))
    assert [each.health for each in checks] == [Health.LIMITED, Health.LIMITED]
    assert "in 3 days" in checks[0].said
    assert "it is over" in checks[1].said
    assert cluster_module._certificates("c", Greeting(certificate=ending(400)))[0].health is Health.OK
    assert cluster_module._certificates("c", Greeting(certificate=b"nonsense")) == ()


# --- the command


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from kubeshield_tui.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "doctor", *arguments],
        capture_output=True, text=True, timeout=50, stdin=subprocess.DEVNULL, check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
    )  # fmt: skip


async def run_doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(doctor, *arguments, **environment)


async def test_the_command_exits_0_3_and_2_and_speaks_json_and_ascii(training: TrainingRange) -> None:
    config = str(training.kubeconfig)
    done = await run_doctor("--kubeconfig", config, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["schema"], told["ok"]) == ("kubeshield/doctor/v1", True)
    assert {"area", "subject", "health", "said", "hint"} == set(told["checks"][0])
    done = await run_doctor("--kubeconfig", config, "--vantage", "ssh:gone.invalid", LC_ALL="C", PYTHONUTF8="0")
    assert done.returncode == 3
    assert done.stdout.isascii()
    assert "X broken  vantage" in done.stdout
    assert done.stderr == ""
    for plain in ({"LANG": "C"}, {"PYTHONIOENCODING": "latin-1"}):
        assert (await run_doctor("--kubeconfig", config, **plain)).stdout.isascii()
    assert "● ok" in (await run_doctor("--kubeconfig", config, LANG="C.UTF-8")).stdout
    for wrong in (["--vantage", "ssh:-x"], ["--context", "prod"], ["--format", "xml"]):
        done = await run_doctor("--kubeconfig", config, *wrong)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


async def test_it_needs_no_home_no_terminal_and_no_tools(tmp_path: Path) -> None:
    done = await run_doctor(PATH=str(tmp_path))
    assert done.returncode == 3, done.stderr
    assert "no kubeconfig at" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr
    assert done.stderr == ""
