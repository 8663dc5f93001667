"""Answers probes with bash's /dev/tcp or with nc: where there is neither Python nor nmap, but a shell.

Invariant: TCP connect alone. What these tools can't tell is in `cannot_see` and never guessed.
"""

from __future__ import annotations

import math
import time
from enum import Enum
from typing import Any

from msgspec.structs import replace

from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.vantage import VantageFacts
from kubeshield_tui.probes import protocol
from kubeshield_tui.vantages.shell import JOBS, Shell, Survey
from kubeshield_tui.vantages.shell_names import Names
from kubeshield_tui.vantages.shell_program import checked_host
from kubeshield_tui.vantages.shell_reading import CANNOT_SEE, read_connect, whose

CONNECT_ONLY = (
    "UDP, TLS and HTTP are not asked: what the application wants of a stranger stays unknown",
    "Times include the start of a process and the way to the vantage",
    "Rejects that a kernel rations look like silence: nothing is asked again slowly",
)
LEAST_SECONDS = 2
"""Without an error queue an ICMPv6 reject is noticed only at the SYN's first retransmit, after 1.02 s. Measured."""
BASH_ONCE = "exec 9<> <(:)"
"""A pipe to nobody, open for ever: reading it with a time limit is a sleep without a program."""
BASH_CONNECT = (
    '(exec 3<>"/dev/tcp/$1/$2") & k=$!;'
    '{ (read -rt "$3" -u 9;kill $k) & w=$!;wait $k;r=$?;kill $w;wait $w; } >/dev/null 2>&1;return $r'
)


class Netcat(Enum):
    """Kinds of nc, each with what marks its usage text and how it is asked. $1 host, $2 port, $3 seconds."""

    OPENBSD = ("nc (OpenBSD)", 'nc -z -v -w "$3" $(l "$1") "$1" "$2"')
    BUSYBOX = ("nc of busybox", 'nc -w "$3" "$1" "$2" -e true')
    BUSYBOX_LARGE = ("nc of busybox", 'nc -z -v -w "$3" "$1" "$2"')
    BUSYBOX_ALONE = ("nc of busybox", 'busybox nc -w "$3" "$1" "$2" -e true')
    NCAT = ("ncat", 'ncat -z -v -w "$3" $(l "$1") "$1" "$2"')
    NC_IS_NCAT = ("ncat", 'nc -z -v -w "$3" $(l "$1") "$1" "$2"')
    TRADITIONAL = ("nc (traditional)", 'nc -z -v -w "$3" $(l "$1") "$1" "$2"')

    @property
    def shown(self) -> str:
        """The kind for people."""
        return str(self.value[0])

    @property
    def connect(self) -> str:
        """The body of the shell's connect function."""
        return str(self.value[1])


NETCAT_ONCE = "l() { case $1 in *[!0-9.]*) case $1 in *:*) printf %s -n;;esac;;*) printf %s -n;;esac; }"
"""`-n` for addresses alone: no reverse look-ups, but names are resolved."""


def which_netcat(survey: Survey) -> Netcat | None:
    """Tell the kind of nc from its usage text; None where there is none that can be asked safely."""
    usage, box = survey.word("nc"), survey.word("busybox")
    if "nc" in survey.tools:
        if "BusyBox" in usage:
            return Netcat.BUSYBOX if "-e PROG" in usage else Netcat.BUSYBOX_LARGE if "-z" in usage else None
        if "OpenBSD" in usage or "[-46" in usage:
            return Netcat.OPENBSD
    if "busybox" in survey.tools and "-e PROG" in box:
        return Netcat.BUSYBOX_ALONE
    if "nc" in survey.tools and usage.startswith("[v1.10"):
        return Netcat.TRADITIONAL
    if "nc" in survey.tools and "Ncat" in usage:
        return Netcat.NC_IS_NCAT
    return Netcat.NCAT if "ncat" in survey.tools else None  # last: it takes a tenth of a second to start


def has_bash_tcp(survey: Survey) -> bool:
    """Whether bash is there and was built with /dev/tcp."""
    said = survey.word("bash")
    return "bash" in survey.tools and bool(said) and "No such file" not in said


class ShellLink:
    """Asks through a shell that already has its connect function. Made by `start_bash` and `start_netcat`."""

    def __init__(self, shell: Shell, facts: VantageFacts, *, ipv6: bool = True) -> None:
        self.facts = facts
        self._ipv6 = ipv6
        self._shell = shell
        self._names = Names(shell)

    async def ask(self, probe: Probe) -> Observation:
        """Ask one probe. Raises VantageLost, or ProbeError for a host that no tool is given."""
        host = checked_host(probe.host)
        if probe.protocol is Protocol.UDP:
            return not_asked(probe, f"{self.facts.runner.partition(':')[0]} can't ask UDP")
        if ":" in host and not self._ipv6:
            return not_asked(probe, f"{self.facts.runner.partition(':')[0]} can't ask IPv6")
        told, address = await self._names.resolve(host)
        if told["state"] is None:
            await self._connect(probe, address or host, told)
        return protocol.observation(probe, told, time.time(), str(told["detail"]).encode())

    async def close(self) -> None:
        """End the shell."""
        await self._shell.close()

    async def _connect(self, probe: Probe, host: str, told: dict[str, Any]) -> None:
        timing = probe.timing
        for number in range(timing.attempts):
            # Whole seconds, rounded up: nc and old shells know no others.
            asked = max(math.ceil(timing.confirm if number else timing.timeout), LEAST_SECONDS)
            done = await self._shell.job("j", host, probe.port, asked, limit=asked)
            if done is None:
                told.update(state=State.ERROR, reason=Reason.TIME_LIMIT, detail="the host did not do it in time")
                return
            state, reason = read_connect(done.status, done.text, done.seconds, asked)
            if state is State.FILTERED:
                state, reason = whose(state, reason, host, await self._names.leads_to(host))
            if reason is Reason.NO_RESPONSE and not told["peer"]:
                state, reason = State.ERROR, Reason.DNS_FAILURE  # the name may have taken all of the time
            note(told, state, reason, done.seconds, "" if state is State.OPEN else _said(done.text))
            if reason is not Reason.NO_RESPONSE:
                return


def _said(text: str) -> str:
    return text.replace("environment: ", "bash: ")  # what bash calls a function that came on standard input


def note(told: dict[str, Any], state: State, reason: Reason, seconds: float, detail: str) -> None:
    """Add an attempt to a result, which it decides unless another follows."""
    ms = round(seconds * 1000, 1)
    told["attempts"].append([state, reason, ms])
    told["steps"].append(["connect", ms, state is State.OPEN, reason])
    told.update(state=state, reason=reason, detail=detail)


def not_asked(probe: Probe, why: str) -> Observation:
    """The answer where this rung can't ask at all."""
    told = {"state": State.ERROR, "reason": Reason.RESOURCES, "detail": why}
    return protocol.observation(probe, told, time.time(), why.encode())


async def start_bash(shell: Shell, why: str, facts: VantageFacts) -> ShellLink:
    """Become bash. Raises VantageError."""
    await shell.become(BASH_CONNECT, once=BASH_ONCE, interpreter="bash")
    version = shell.survey.word("bash").partition("(")[0]
    return ShellLink(shell, _facts(facts, f"bash {version} /dev/tcp: {why}", shell.survey, ()))


async def start_netcat(shell: Shell, kind: Netcat, why: str, facts: VantageFacts) -> ShellLink:
    """Load the connect function of a kind of nc. Raises VantageError."""
    await shell.become(kind.connect, once=NETCAT_ONCE)
    ipv6 = kind is not Netcat.TRADITIONAL
    more = () if ipv6 else ("IPv6 is not asked",)
    return ShellLink(shell, _facts(facts, f"{kind.shown}: {why}", shell.survey, more), ipv6=ipv6)


def _facts(facts: VantageFacts, runner: str, survey: Survey, more: tuple[str, ...]) -> VantageFacts:
    if "getent" not in survey.tools:
        more = (*more, "A name whose target is silent can't be told from one that was not resolved in time")
    return replace(facts, runner=runner, cannot_see=(*CANNOT_SEE, *CONNECT_ONLY, *more), in_flight=JOBS)
