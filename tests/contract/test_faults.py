"""Faults injected while sweeps are under way: no cell is ever told wrongly, all are asked again, the grid is the same.

This machine and a real sshd in one session, pods of the range in another. KUBESHIELD_FAULTS=200 injects 200 over all
tests of faults (60 else), KUBESHIELD_FAULTS_SEED chooses others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubeshield_tui.errors import VantageLost
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.range.api import Api
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.range.scenario import Json
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Limits, Settings
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.local import LocalVantage, ProcessChannel, spawn_agent
from tests.contract.sshd import Estate, Sshd, need_sshd, probe
from tests.lab.trouble import NOTICE_SECONDS, Fault, Relay, Trouble, faults_wanted, troubled

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(600)]

LIMITS = Limits(rate=400)
TIMING = Timing(timeout=0.3, confirm=0.3, attempts=2)
OPEN, CLOSED, FULL = 40, 40, 6
STARTUPS = 3
Doing = Callable[[], Awaitable[None]]


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Estate]:
    need_sshd()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    estate = Estate(tmp_path)
    yield estate
    estate.stop()


@contextlib.contextmanager
def loopback_targets(path: Path) -> Iterator[dict[str, tuple[State, Reason]]]:
    """Write a targets file of open, closed and silent ports; gives what is true of each."""
    truth: dict[str, tuple[State, Reason]] = {}
    with contextlib.ExitStack() as stack:
        for _ in range(OPEN):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2000))
            truth[f"127.0.0.1:{listening.getsockname()[1]}"] = (State.OPEN, Reason.SYN_ACK)
        for _ in range(FULL):  # a full backlog drops what comes next: silence without a firewall
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(2):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(silent.getsockname())
            truth[f"127.0.0.1:{silent.getsockname()[1]}"] = (State.FILTERED, Reason.NO_RESPONSE)
        while len(truth) < OPEN + CLOSED + FULL:
            reserved = stack.enter_context(socket.socket())  # bound, never listening: closed, and nobody else's
            reserved.bind(("127.0.0.1", 0))
            truth[f"127.0.0.1:{reserved.getsockname()[1]}"] = (State.CLOSED, Reason.CONN_REFUSED)
        path.write_text("".join(f"{place}\n" for place in truth))
        yield truth


def killing(pids: Callable[[], list[int]], *numbers: signal.Signals) -> Doing:
    """Send signals to processes that are looked up then."""

    async def strike() -> None:
        for pid in pids():
            for number in numbers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    return strike


def process_faults(pids: Callable[[], list[int]]) -> list[Fault]:
    """What can happen to an agent's process."""
    return [
        Fault("agent killed", killing(pids, signal.SIGKILL)),
        Fault("agent ended", killing(pids, signal.SIGTERM)),
        Fault("agent stopped", killing(pids, signal.SIGSTOP), killing(pids, signal.SIGKILL), weight=1),
    ]


class LocalAgents:
    """Starts agents and knows the last one's process."""

    def __init__(self) -> None:
        self._last: ProcessChannel | None = None

    async def channel(self) -> Channel:
        self._last = await spawn_agent()
        return self._last

    def pids(self) -> list[int]:
        assert self._last is not None
        return [self._last._process.pid]


class SshFaults:
    """What can happen to an SSH vantage: to its sshd, its sessions, the network between."""

    def __init__(self, server: Sshd, relay: Relay) -> None:
        self.server = server
        self.relay = relay
        self._held: list[socket.socket] = []

    def all(self) -> list[Fault]:
        sessions = self.server.sessions
        return [
            *process_faults(self._agents),
            Fault("sessions killed", killing(sessions, signal.SIGKILL)),
            Fault("sessions stopped", killing(sessions, signal.SIGSTOP), killing(sessions, signal.SIGKILL), weight=1),
            Fault("connection cut", self.relay.cut),
            Fault("connection silent", self.relay.freeze, self.relay.thaw, weight=1),
            Fault("sshd killed", self._stop, self._start, refuses=True),
            Fault("sshd out of file descriptors", self._starve, self._feed, refuses=True),
            Fault("MaxStartups reached", self._occupy, self._vacate, refuses=True),
        ]

    def _agents(self) -> list[int]:
        """The last process of each chain is the agent: sshd, its unprivileged child, a shell perhaps, Python."""
        return [pid for pid in self.server.sessions() if b"import sys,base64,zlib" in _command_line(pid)]

    async def _stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def _start(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def _starve(self) -> None:
        """Leave one descriptor: it accepts, lacks those for a session and hangs up."""
        assert self.server.process is not None
        pid = self.server.process.pid
        most = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 2
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, 1024))
        self.server.signal_sessions(signal.SIGKILL)

    async def _feed(self) -> None:
        assert self.server.process is not None
        resource.prlimit(self.server.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))

    async def _occupy(self) -> None:
        sessions = self.server.sessions()
        self._held = [socket.create_connection(("127.0.0.1", self.server.port), 5) for _ in range(STARTUPS)]
        for each in self._held:
            assert await asyncio.to_thread(each.recv, 4) == b"SSH-"  # it holds a place from now on
        await killing(lambda: sessions, signal.SIGKILL)()

    async def _vacate(self) -> None:
        for each in self._held:
            each.close()


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


async def test_this_machine_and_a_real_sshd_fail_and_come_back(estate: Estate, tmp_path: Path) -> None:
    server = estate.server("jump", f"MaxStartups {STARTUPS}", "LoginGraceTime 60")
    relay = await Relay(server.port).start()
    estate.configure("jump", f"HostKeyAlias [127.0.0.1]:{server.port}")
    estate.config.write_text(estate.config.read_text().replace(f"Port {server.port}", f"Port {relay.port}"))
    agents = LocalAgents()
    with loopback_targets(tmp_path / "targets") as truth:
        settings = Settings(
            vantages=(parse_vantage("local"), parse_vantage("ssh:jump")),
            ssh_config=estate.config,
            targets=tmp_path / "targets",
            discovery=False,
            timing=TIMING,
            limits=LIMITS,
        )
        async with troubled(
            lambda listener: Session(settings, local_channel=agents.channel, listeners=[listener])
        ) as trouble:
            await trouble.learn(2 * len(truth))
            assert_true(trouble, truth)
            local, jump = trouble.session.store.vantages
            async with asyncio.TaskGroup() as group:
                of_agents = [(local, fault) for fault in process_faults(agents.pids)]
                group.create_task(trouble.rain(of_agents, faults_wanted(12)))
                of_ssh = [(jump, fault) for fault in SshFaults(server, relay).all()]
                group.create_task(trouble.rain(of_ssh, faults_wanted(14)))
            await trouble.calm()
    await relay.close()


class RestartableApi(Api):
    """The range's API behind a relay, so that it can be started again at another port."""

    made: RestartableApi
    relay: Relay

    async def start(self, context: ssl.SSLContext) -> tuple[str, int]:
        RestartableApi.made, self.context = self, context
        host, port = await super().start(context)
        self.relay = await Relay(port).start()
        return host, self.relay.port

    async def start_again(self) -> None:
        _, self.relay.target = await super().start(self.context)


class PodFaults(TrainingRange):
    """A range that can break: its API, the streams to it, the agents in its pods. Nothing else changes in it."""

    def __init__(self) -> None:
        super().__init__()
        self.scenario = replace(self.scenario, later=[])
        self._agents: dict[str, ProcessChannel] = {}

    async def _exec(self, pod: Json) -> Channel:
        channel = await super()._exec(pod)
        self._agents[pod["metadata"]["name"]] = channel._channel
        return channel

    def pids(self, name: str) -> list[int]:
        """The newest agent in pods of such a name."""
        return [channel._process.pid for pod, channel in self._agents.items() if pod.startswith(name)][-1:]

    def common(self) -> list[Fault]:
        """What strikes all pods."""
        api = RestartableApi.made
        return [
            Fault("exec stream cut", api.relay.cut),
            Fault("exec stream silent", api.relay.freeze, api.relay.thaw, weight=1),
            Fault("API server restarted", self._restart),
            Fault("API server stopped", api.close, api.start_again, refuses=True),
        ]

    async def _restart(self) -> None:
        await RestartableApi.made.close()
        await RestartableApi.made.start_again()

    async def delete_own(self) -> None:
        """Somebody deletes our pod, and its processes with it."""
        pods = RestartableApi.made._world.objects["pods"]
        for key in [key for key in pods if key[1].startswith("kubeshield")]:
            del pods[key]
        await killing(lambda: self.pids("kubeshield"), signal.SIGKILL)()


async def test_pods_fail_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubeshield_tui.range.range.Api", RestartableApi)
    (tmp_path / "targets").write_text("10.0.0.11:7000-7009\n203.0.113.10:6443\n10.0.0.12:10255\n198.51.100.20:443\n")
    async with PodFaults() as training:
        settings = Settings(
            kubeconfig=training.kubeconfig,
            vantages=(parse_vantage("pod:shop"), parse_vantage("pod:shop/web-6d4f9")),
            targets=tmp_path / "targets",
            consent=True,
            pod_settle=0.0,
            timing=TIMING,
            limits=LIMITS,
        )
        async with troubled(lambda listener: Session(settings, listeners=[listener])) as trouble:
            await trouble.learn(50)
            own, existing = trouble.session.store.vantages
            strikes = [(own, fault) for fault in training.common()]
            strikes += [(own, fault) for fault in process_faults(lambda: training.pids("kubeshield"))]
            strikes += [(existing, fault) for fault in process_faults(lambda: training.pids("web-6d4f9"))]
            strikes.append((own, Fault("pod deleted", training.delete_own)))
            await trouble.rain(strikes, faults_wanted(16))
            await trouble.calm()
        await RestartableApi.made.relay.close()


async def test_an_agent_that_stands_still_is_noticed_though_its_stream_is_full() -> None:
    """More jobs than a pipe holds: writing them must not keep us from seeing that nobody answers."""
    agents = LocalAgents()
    point = LocalVantage(parse_vantage("local"), connect=agents.channel)
    await point.open()
    await killing(agents.pids, signal.SIGSTOP)()
    begun = asyncio.get_running_loop().time()
    asked = [asyncio.create_task(point.ask(probe("127.0.0.1", 9))) for _ in range(10_000)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert asyncio.get_running_loop().time() - begun < NOTICE_SECONDS
    assert {type(each) for each in await asyncio.gather(*asked, return_exceptions=True)} == {VantageLost}
    await point.close()


def assert_true(trouble: Trouble, truth: dict[str, tuple[State, Reason]]) -> None:
    endpoints = trouble.session.store.endpoints
    for key, pair in trouble.truth.items():
        endpoint = endpoints[key.endpoint]
        assert pair == truth[f"{endpoint.host}:{endpoint.port}"]
