"""The agent over a real sshd answers as the local one does, and its host is read over the same connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeshield_tui.evidence.collect.host import collect_host
from kubeshield_tui.evidence.collect.script import COMMANDS
from kubeshield_tui.model.evidence import SourceStatus
from kubeshield_tui.model.observation import Observation, State
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.vantages.local import LocalVantage
from kubeshield_tui.vantages.ssh import SshVantage
from kubeshield_tui.vantages.vantage import VantagePoint
from tests.contract.sshd import Estate, free_port, need_sshd, probe

pytestmark = pytest.mark.sshd


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Estate]:
    need_sshd()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    estate = Estate(tmp_path)
    yield estate
    estate.stop()


def _essence(seen: Observation) -> tuple[object, ...]:
    return (
        seen.state,
        seen.reason,
        seen.posture,
        [(attempt.state, attempt.reason) for attempt in seen.attempts],
        [(step.name, step.ok) for step in seen.steps],
        seen.icmp,
        seen.source,
    )


async def test_same_observations_as_the_local_vantage(estate: Estate) -> None:
    estate.server("jump")
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        # A full backlog drops what comes next: silence without a firewall.
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        ports = [listening.getsockname()[1], silent.getsockname()[1], free_port()]
        points: list[VantagePoint] = [
            LocalVantage(parse_vantage("local")),
            SshVantage(parse_vantage("ssh:jump"), ssh_config=estate.config),
        ]
        seen: list[list[Observation]] = []
        for point in points:
            try:
                await point.open()
                seen.append(await asyncio.gather(*(point.ask(probe("127.0.0.1", port)) for port in ports)))
            finally:
                await point.close()
    local, remote = seen
    assert [one.state for one in local] == [State.OPEN, State.FILTERED, State.CLOSED]
    assert [_essence(one) for one in remote] == [_essence(one) for one in local]


async def test_four_hundred_probes_on_one_log_in(estate: Estate) -> None:
    server = estate.server("jump")
    point = SshVantage(parse_vantage("ssh:jump"), ssh_config=estate.config)
    try:
        facts = await point.open()
        assert facts.runner.startswith("python 3.")
        assert facts.user
        port = free_port()
        seen = await asyncio.gather(*(point.ask(probe("127.0.0.1", port)) for _ in range(400)))
        assert {one.state for one in seen} == {State.CLOSED}
        assert server.logins == 1
    finally:
        await point.close()


async def test_a_host_is_read_in_one_command_item_by_item(estate: Estate) -> None:
    server = estate.server("jump")
    point = SshVantage(parse_vantage("ssh:jump"), ssh_config=estate.config)
    try:
        sources = await collect_host(point.spec.id, "jump", point.run)
    finally:
        await point.close()
    assert server.logins == 1
    assert [source.item for source in sources] == list(COMMANDS)
    found = {source.item: source for source in sources}
    assert found["addresses"].status is SourceStatus.OK
    assert "127.0.0.1" in found["addresses"].text
    assert "ipv4/ip_forward:" in found["sysctls"].text
    for source in sources:
        assert source.text == "" or source.status is SourceStatus.OK
        assert source.text or source.detail
