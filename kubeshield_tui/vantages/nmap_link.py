"""Answers probes with nmap where there is no Python: probes that wait alike share a run, and the runs share one shell.

Invariants: only ports that were asked for are scanned; silence of a run counts as one attempt; a run that complains of
the vantage's own kernel decides nothing for the targets that kept silent in it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

from msgspec.structs import replace

from kubeshield_tui.errors import ProbeError, VantageLost
from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageFacts
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.nmap import NmapPort, read_report, scan_arguments
from kubeshield_tui.vantages.shell import Done, Shell
from kubeshield_tui.vantages.shell_link import not_asked, note
from kubeshield_tui.vantages.shell_names import Names
from kubeshield_tui.vantages.shell_program import checked_host
from kubeshield_tui.vantages.shell_reading import CANNOT_SEE, whose

GATHER_SECONDS = 0.05
"""How long a run waits for more probes to join it."""
RUNS = 4
"""Runs at once: each is a process of some 20 MB."""
HOSTS, PORTS = 40, 200
"""In one run: lines of its report stay below what a pipe writes at once (4,096 bytes)."""
RATE = 500
"""Connects a second at least; nmap's own pace is ten at once where all is silent."""
LEAST_SECONDS = 1.5
"""Of a connect(): without an error queue an ICMPv6 reject is noticed at the SYN's first retransmit, after 1.02 s."""
OF_A_CONNECT = ("-d",)
"""nmap tells only so that connect() failed at the vantage itself; otherwise that looks like silence. Measured, 7.93."""
OF_RAW = ("--send-ip", "--disable-arp-ping")
"""Frames of its own would pass by the vantage's own firewall: a false "open"."""
KERNEL_SAYS = re.compile(r"Strange read error from (\S+) \(\d+ - '([^']*)'\)")
STRANGE = ("strange error", "not permitted", "sendto")
TRIAL_SECONDS = 5.0
_OWN_PORT = ("-sS", "-Pn", "-n", *OF_RAW, "--max-retries", "0", "-p", "9", "-oX", "-", "127.0.0.1")
NO_RAW = ("raw socket", "requires root", "socket troubles", "dnet:")

RAW_BLIND = (
    "A reject by this host's own firewall looks closed: its kernel refuses to send, and connect() is asked instead",
    "Times are those of whole runs",
    "TLS and HTTP are not asked: what the application wants of a stranger stays unknown",
    "Silence is asked again, but not slowly: rejects that a kernel rations look like silence",
)
CONNECT_BLIND = (
    *CANNOT_SEE,
    "Times are those of whole runs",
    "UDP, TLS and HTTP are not asked: what the application wants of a stranger stays unknown",
    "Silence is asked again, but not slowly: rejects that a kernel rations look like silence",
)


class _Target(NamedTuple):
    address: str
    port: int
    protocol: Protocol
    seconds: float


class _Answer(NamedTuple):
    port: NmapPort | None
    said: str
    seconds: float
    strange: bool = False
    """The run complained of the vantage's own kernel."""
    own: str = ""
    """What that kernel said of this very target."""


async def start_nmap(shell: Shell, why: str, facts: VantageFacts) -> NmapLink:
    """Load the jobs of a shell that has nmap, and see whether it may use raw sockets. Raises VantageError."""
    await shell.become(":")
    raw = shell.survey.word("uid") == "0"
    if raw:  # root without the right is common: a container that dropped NET_RAW
        done = await shell.job("n", *_OWN_PORT, limit=TRIAL_SECONDS)
        raw = done is not None and not any(word in done.complaints.lower() for word in NO_RAW)
    version = shell.survey.word("nmap").removeprefix("Nmap version ").partition(" ")[0]
    return NmapLink(shell, replace(facts, runner=f"nmap {version}: {why}"), raw=raw)


class NmapLink:
    """Gathers probes, runs nmap, hands each its port."""

    def __init__(self, shell: Shell, facts: VantageFacts, *, raw: bool) -> None:
        self.facts = replace(facts, cannot_see=RAW_BLIND if raw else CONNECT_BLIND, in_flight=RUNS * HOSTS * PORTS)
        self._shell = shell
        self._names = Names(shell)
        self._raw = raw
        self._waiting: dict[_Target, asyncio.Future[_Answer]] = {}
        self._gathering: asyncio.Task[None] | None = None
        self._places = asyncio.Semaphore(RUNS)
        self._runs: set[asyncio.Task[None]] = set()

    async def ask(self, probe: Probe) -> Observation:
        """Ask one probe. Raises VantageLost, or ProbeError for a host that nmap is not given."""
        host = checked_host(probe.host)
        if probe.protocol is Protocol.UDP and not self._raw:
            return not_asked(probe, "nmap asks UDP only as root")
        told, address = await self._names.resolve(host)
        if told["state"] is None and not address:
            told.update(state=State.ERROR, reason=Reason.DNS_FAILURE, detail="there is no getent to look up names")
        if told["state"] is None:
            await self._attempts(probe, address, told)
        return protocol.observation(probe, told, time.time(), str(told["detail"]).encode())

    async def close(self) -> None:
        """End the runs and the shell."""
        await self._shell.close()
        tasks = [task for task in (self._gathering, *self._runs) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _give_up(self._waiting, VantageLost("the vantage was closed"))

    async def _attempts(self, probe: Probe, address: str, told: dict[str, Any]) -> None:
        for number in range(probe.timing.attempts):
            seconds = probe.timing.confirm if number else probe.timing.timeout
            target = _Target(str(ip_address(address)), probe.port, probe.protocol, seconds)
            answer = await self._scan(target)
            if answer.strange and not answer.own and _silent(answer):
                answer = await self._alone(target)
            state, reason = await self._read(target, answer)
            detail = answer.port.detail if answer.port and state is not State.ERROR else answer.said
            note(told, state, reason, answer.seconds, "" if state is State.OPEN else detail)
            if reason is not Reason.NO_RESPONSE:
                return

    async def _read(self, target: _Target, answer: _Answer) -> tuple[State, Reason]:
        if answer.port is None:
            lost = "route" in answer.said.lower() or await self._names.leads_to(target.address) is False
            return State.ERROR, Reason.NO_ROUTE if lost else Reason.RESOURCES
        state, reason = answer.port.state, answer.port.reason
        if state is State.FILTERED:
            if (answer.strange or answer.own) and reason is Reason.NO_RESPONSE:
                return State.ERROR, Reason.NO_ROUTE if "Invalid argument" in answer.own else Reason.PERMISSION
            leads = await self._names.leads_to(target.address)
            if reason is Reason.NO_RESPONSE and leads is False:
                return State.ERROR, Reason.NO_ROUTE
            if not self._raw:
                return whose(state, reason, target.address, leads)
        return state, reason

    # --- gathering

    async def _scan(self, target: _Target) -> _Answer:
        future = self._waiting.get(target)
        if future is None:
            future = self._waiting[target] = asyncio.get_running_loop().create_future()
            if self._gathering is None or self._gathering.done():
                self._gathering = asyncio.create_task(self._gather(), name="nmap gathering")
        return await asyncio.shield(future)

    async def _gather(self) -> None:
        """Start runs until nothing waits. What comes while all places are taken joins the next ones."""
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            await self._places.acquire()
            self._places.release()
            taken, self._waiting = self._waiting, {}
            for targets in _runs(taken):
                task = asyncio.create_task(self._run({target: taken[target] for target in targets}), name="nmap run")
                self._runs.add(task)
                task.add_done_callback(self._runs.discard)

    async def _run(self, futures: dict[_Target, asyncio.Future[_Answer]]) -> None:
        try:
            async with self._places:
                answers = await self._nmap(list(futures), raw=self._raw)
        except (VantageLost, ProbeError) as error:
            _give_up(futures, error)
        except asyncio.CancelledError:
            _give_up(futures, VantageLost("the vantage was closed"))
            raise
        else:
            for target, future in futures.items():
                future.set_result(answers[target])

    async def _alone(self, target: _Target) -> _Answer:
        """Ask again by connect() alone: then a complaint of the kernel is about this target."""
        if target.protocol is Protocol.UDP:
            return _Answer(None, "the vantage's own kernel refuses to send", 0.0)
        async with self._places:
            return (await self._nmap([target], raw=False))[target]

    async def _nmap(self, targets: list[_Target], *, raw: bool) -> dict[_Target, _Answer]:
        first = targets[0]
        seconds = first.seconds if raw else max(first.seconds, LEAST_SECONDS)
        arguments = scan_arguments(
            sorted({target.address for target in targets}),
            {target.port for target in targets},
            protocol=first.protocol,
            timeout=seconds,
            attempts=1,
            raw=raw,
        )
        pace = [] if first.protocol is Protocol.UDP else ["--min-rate", str(RATE)]
        patience = seconds * (3 + len(targets) / 50) + len(targets) / RATE
        done = await self._shell.job("n", *pace, *(OF_RAW if raw else OF_A_CONNECT), *arguments, limit=patience)
        return _answers(targets, done)


def _give_up(futures: dict[_Target, asyncio.Future[_Answer]], error: Exception) -> None:
    for future in futures.values():
        if not future.done():
            future.set_exception(error)
            future.exception()  # looked at: whoever cancelled the question needs no complaint


def _silent(answer: _Answer) -> bool:
    """Whether a port kept silent."""
    return answer.port is not None and answer.port.reason is Reason.NO_RESPONSE


def _answers(targets: Iterable[_Target], done: Done | None) -> dict[_Target, _Answer]:
    if done is None:
        return {target: _Answer(None, "nmap was not done in time", target.seconds) for target in targets}
    words = printable(done.complaints, 200)
    try:
        report = read_report(done.output)
    except ProbeError as error:
        return {target: _Answer(None, f"nmap: {words or error.message}", done.seconds) for target in targets}
    ports = {(port.host, port.port): port for port in report.ports} if report.complete else {}
    said = words or ("its report says nothing of this port" if report.complete else "its report is cut")
    strange = any(word in done.complaints.lower() for word in STRANGE)
    own: dict[str, str] = dict(KERNEL_SAYS.findall(done.complaints))
    answers = {}
    for target in targets:
        host = _bare(target.address)
        port, why = ports.get((host, target.port)), own.get(host, "")
        answers[target] = _Answer(port, f"nmap: {why or said}", done.seconds, strange, why)
    return answers


def _bare(address: str) -> str:
    return str(ip_address(address.partition("%")[0]))


def _runs(targets: Iterable[_Target]) -> Iterator[list[_Target]]:
    """Targets in runs: hosts that are asked for the same ports, in the same way, share one."""
    by_host: dict[tuple[str, Protocol, float], set[int]] = {}
    for target in targets:
        by_host.setdefault((target.address, target.protocol, target.seconds), set()).add(target.port)
    alike: dict[tuple[int, Protocol, float, tuple[int, ...]], list[str]] = {}
    for (address, kind, seconds), ports in by_host.items():
        ordered = sorted(ports)
        for begin in range(0, len(ordered), PORTS):
            shape = (ip_address(address).version, kind, seconds, tuple(ordered[begin : begin + PORTS]))
            alike.setdefault(shape, []).append(address)
    for (_, kind, seconds, listed), addresses in alike.items():
        for begin in range(0, len(addresses), HOSTS):
            hosts = addresses[begin : begin + HOSTS]
            yield [_Target(host, port, kind, seconds) for host in hosts for port in listed]
