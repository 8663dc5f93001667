"""The ladder over a real sshd: which rung is taken and why, what it survives, how its loss is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubeshield_tui.errors import ProbeError, VantageError, VantageLost
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.vantages.asker import Asker
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.ladder import climb
from kubeshield_tui.vantages.local import ProcessChannel
from kubeshield_tui.vantages.ssh import SshVantage
from tests.contract.places import RUNGS, place
from tests.contract.sshd import Estate, free_port, need_sshd, probe


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Estate]:
    need_sshd()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    estate = Estate(tmp_path)
    yield estate
    estate.stop()


@pytest.fixture
def targets() -> Iterator[list[tuple[str, int]]]:
    """Open, closed, silent, open by IPv6, a name, a name that nobody has."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        six = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # a full backlog drops what comes next: silence without a firewall
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield [
            ("127.0.0.1", listening.getsockname()[1]),
            ("127.0.0.1", free_port()),
            ("127.0.0.1", full.getsockname()[1]),
            ("::1", six.getsockname()[1]),
            ("localhost", listening.getsockname()[1]),
            ("nobody.invalid", 80),
        ]


class Here:
    """Runs programs on this machine with a place as their PATH, and counts them."""

    def __init__(self, environment: Sequence[str]) -> None:
        self._environment = environment
        self.started: list[asyncio.subprocess.Process] = []

    async def run(self, argv: Sequence[str]) -> Channel:
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/env", *self._environment, *argv, stdin=-1, stdout=-1, stderr=-1, start_new_session=True
        )
        self.started.append(process)
        return ProcessChannel(process)

    def session(self) -> list[str]:
        """States of the processes of the last program, it included."""
        told = subprocess.run(
            ["ps", "-o", "stat=", "-s", str(self.started[-1].pid)], capture_output=True, text=True, timeout=10
        )
        return told.stdout.split()


@asynccontextmanager
async def asked(here: Here) -> AsyncIterator[Asker]:
    asker = await climb(here.run, "here")
    try:
        yield asker
    finally:
        await asker.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


def essence(seen: Observation) -> tuple[object, ...]:
    return seen.state, seen.reason, [(attempt.state, attempt.reason) for attempt in seen.attempts]


@pytest.mark.sshd
@pytest.mark.parametrize("name", ["nmap -sS", "nmap -sT", "bash", "busybox", "openbsd", "ncat"])
async def test_every_rung_over_ssh_sees_what_the_agent_sees(
    estate: Estate, targets: list[tuple[str, int]], name: str, tmp_path: Path
) -> None:
    estate.server("python")
    environment = RUNGS[name].environment(tmp_path / "bin")
    # Whatever a .bashrc adds to the PATH is not the place's.
    estate.server("jump", "MaxSessions 1", f"SetEnv {' '.join(environment)} HOME={tmp_path}")
    seen: dict[str, list[Observation]] = {}
    blind = ""
    for host in ("python", "jump"):
        point = SshVantage(parse_vantage(f"ssh:{host}"), ssh_config=estate.config)
        try:
            facts = await point.open()
            seen[host] = list(await asyncio.gather(*(point.ask(probe(*target)) for target in targets)))
        finally:
            await point.close()
        if host == "jump":
            assert facts.runner.startswith(RUNGS[name].runner)
            assert "no python3 on jump" in facts.runner
            assert facts.cannot_see
            assert facts.user
            blind = " ".join(facts.cannot_see)
    assert [each.state for each in seen["python"][:3]] == [State.OPEN, State.CLOSED, State.FILTERED]
    for target, expected, told in zip(targets, seen["python"], seen["jump"], strict=True):
        if target[0] == "::1" and "IPv6 is not asked" in blind:
            assert told.state is State.ERROR
        elif target[0].isalpha() and name == "nmap -sT":
            assert told.reason is Reason.DNS_FAILURE  # that place has no getent, and nmap is given addresses only
        elif expected.state is State.ERROR:
            assert (told.state, told.reason) == (expected.state, expected.reason)
        else:
            assert essence(told) == essence(expected), told.detail


async def test_where_nothing_can_ask_every_rung_is_named(tmp_path: Path) -> None:
    bare = Here([f"PATH={place(tmp_path / 'bare')}"])
    with pytest.raises(VantageError) as caught:
        await climb(bare.run, "jump")
    for word in ("jump", "no python3", "nmap", "bash", "nc"):
        assert word in caught.value.message
    assert "Install Python" in caught.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(VantageError, match=r"no python3.*no sh.*nmap, bash or nc"):
        await climb(Here([f"PATH={tmp_path / 'empty'}"]).run, "jump")


@pytest.mark.parametrize(
    ("python", "why"),
    [
        ('echo \'{"op":"hello","version":99}\'; read -r line', "version 99"),
        ("echo 'SyntaxError: too old' >&2; exit 1", "too old"),
        (
            "printf 'Traceback (most recent call last):\\n  File x\\nImportError: no zlib\\n' >&2",
            "came up: ImportError: no zlib",
        ),
        ("echo I am a teapot; exit 0", "no agent came up"),
    ],
)
async def test_a_python_that_is_no_use_is_named_and_the_next_rung_taken(tmp_path: Path, python: str, why: str) -> None:
    here = Here(RUNGS["bash"].environment(tmp_path / "bin"))
    program = tmp_path / "bin" / "python3"
    program.write_text(f"#!/bin/sh\nread -r agent\n{python}\n")
    program.chmod(0o755)
    async with asked(here) as asker:
        assert asker.facts.runner.startswith("bash")
        assert why in asker.facts.runner
        assert (await asker.ask(probe("127.0.0.1", free_port()))).state is State.CLOSED


async def test_a_greeting_before_the_shell_is_skipped(tmp_path: Path) -> None:
    here = Here(RUNGS["busybox"].environment(tmp_path / "bin"))

    async def greeted(argv: Sequence[str]) -> Channel:
        return await here.run(["sh", "-c", 'echo "Welcome to ks r 0 0 open"; exec "$@"', "sh", *argv])

    asker = await climb(greeted, "here", agent=False)
    try:
        assert (await asker.ask(probe("127.0.0.1", free_port()))).state is State.CLOSED
    finally:
        await asker.close()


@pytest.mark.parametrize("name", ["bash", "busybox", "nmap -sT"])
@pytest.mark.parametrize("host", ["-oN x", "-iL", "a;id", "$(id)", "`id`", "10.0.0.0/8", "a b", "1\n2", "x" * 300, ""])
async def test_a_host_that_is_none_reaches_no_shell(tmp_path: Path, name: str, host: str) -> None:
    async with asked(Here(RUNGS[name].environment(tmp_path / "bin"))) as asker:
        with pytest.raises(ProbeError, match="neither an IP address nor a host name"):
            await asker.ask(probe(host, 80))
        assert (await asker.ask(probe("127.0.0.1", free_port()))).state is State.CLOSED


@pytest.mark.parametrize("name", ["bash", "busybox", "openbsd", "nmap -sT"])
async def test_four_hundred_targets_cost_two_programs_and_leave_no_process(tmp_path: Path, name: str) -> None:
    here = Here(RUNGS[name].environment(tmp_path / "bin"))
    async with asked(here) as asker:
        port = free_port()
        seen = await asyncio.gather(*(asker.ask(probe("127.0.0.1", port - number % 7)) for number in range(400)))
        assert {each.state for each in seen} <= {State.CLOSED, State.OPEN}
        assert len(here.started) == 2  # what should be the agent, and the shell
        await until(lambda: len(here.session()) <= 1 + 16)  # ended jobs are collected in batches
    await until(lambda: here.session() == [])


@pytest.mark.parametrize("name", ["bash", "busybox", "nmap -sT"])
async def test_cancelled_questions_free_their_places(tmp_path: Path, targets: list[tuple[str, int]], name: str) -> None:
    async with asked(Here(RUNGS[name].environment(tmp_path / "bin"))) as asker:
        asking = [asyncio.create_task(asker.ask(probe(*targets[2]))) for _ in range(80)]
        await asyncio.sleep(0)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert (await asker.ask(probe(*targets[0]))).state is State.OPEN


@pytest.mark.parametrize("name", ["bash", "busybox", "nmap -sT"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_shell_that_ends_or_stops_is_lost_within_five_seconds(
    tmp_path: Path, targets: list[tuple[str, int]], name: str, how: signal.Signals
) -> None:
    here = Here(RUNGS[name].environment(tmp_path / "bin"))
    asker = await climb(here.run, "here")
    patient = Timing(timeout=20.0, confirm=20.0)
    asking = [asyncio.create_task(asker.ask(_with(probe(*targets[2]), patient))) for _ in range(40)]
    await until(lambda: len(here.session()) > 2)
    begun = time.monotonic()
    os.killpg(here.started[-1].pid, how)
    seen = await asyncio.gather(*asking, return_exceptions=True)
    assert time.monotonic() - begun < 7  # 5 s, and what a stopped process takes to be ended
    assert {type(each) for each in seen} == {VantageLost}
    with pytest.raises(VantageLost):
        await asker.ask(probe(*targets[0]))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(here.started[-1].pid, signal.SIGKILL)
    await asker.close()


def _with(asked_for: Probe, timing: Timing) -> Probe:
    from msgspec.structs import replace

    return replace(asked_for, timing=timing)


async def test_the_agent_is_taken_where_there_is_python() -> None:
    here = Here([f"PATH={os.environ['PATH']}"])
    async with asked(here) as asker:
        assert asker.facts.runner.startswith("python 3")
        assert asker.facts.cannot_see == ()
    assert len(here.started) == 1
    assert BOOTSTRAP[0] == "python3"
