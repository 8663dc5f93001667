"""The rungs of asking, best first: the agent under python3, nmap, bash's /dev/tcp, nc. Each says what it can't see.

Invariant: a lower rung is taken only with the reason why no better one is there, and that reason is shown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageFacts
from kubeshield_tui.probes import protocol
from kubeshield_tui.vantages import shell_program
from kubeshield_tui.vantages.asker import Asker, Runner
from kubeshield_tui.vantages.link import AgentLink
from kubeshield_tui.vantages.nmap_link import start_nmap
from kubeshield_tui.vantages.shell import Shell, Survey
from kubeshield_tui.vantages.shell_link import has_bash_tcp, start_bash, start_netcat, which_netcat

HINT = "Install Python 3.6 or later there; from a pod, pod:NAMESPACE brings its own; over SSH, forwarding may still do"
AGAIN_SECONDS = 0.5
_LINE_FEED = "\N{SYMBOL FOR LINE FEED}"
"""How a line feed reads once it is printable."""
_NO_PYTHON = re.compile(r"not found|no such file|unknown command|not recognized", re.IGNORECASE)


async def climb(run: Runner, shown: str, *, agent: bool = True) -> Asker:
    """Start the best rung that `run` can start. `shown` names the place in sentences; `agent` False leaves it out.

    Raises VantageError that names every rung tried, VantageLost where the connection ended meanwhile.
    """
    tried: list[str] = []
    hint = ""
    ran = False
    if agent:
        try:
            channel = await run(protocol.BOOTSTRAP)
            ran = True
            return await AgentLink.start(channel)
        except VantageLost:
            raise
        except VantageError as error:
            tried.append(_why_no_agent(error, shown))
            hint = error.hint
    try:
        shell = await _shell(run, again=ran)
    except VantageLost:
        raise
    except VantageError as error:
        if tried and error.message in tried[0]:
            raise VantageError(error.message, error.hint or hint) from error
        raise _nothing(shown, [*tried, f"{error.message} for nmap, bash or nc"]) from error
    if tried and "python3" not in shell.survey.tools:
        tried[0] = f"no python3 on {shown}"  # whatever was heard of a program that was not there
    rungs = _rungs(shell.survey, tried[0] if tried else "the agent is left out")
    for number, (name, start) in enumerate(rungs):
        try:
            if number:  # a rung that failed took its shell along
                shell = await _shell(run, again=True)
            return await _started(shell, start)
        except VantageLost:
            raise
        except VantageError as error:
            tried.append(f"{name}: {error.message}")
    if not rungs:
        await shell.close()
        tried.append("no nmap, no bash with /dev/tcp, no nc that can be used")
    raise _nothing(shown, tried)


async def _shell(run: Runner, *, again: bool) -> Shell:
    """Start a shell; `again` where a program ran before: sshd with MaxSessions 1 takes a moment to forget it."""
    try:
        channel = await run(shell_program.BOOTSTRAP)
    except VantageLost:
        raise
    except VantageError:
        if not again:
            raise
        await asyncio.sleep(AGAIN_SECONDS)
        channel = await run(shell_program.BOOTSTRAP)
    return await Shell.start(channel)


async def _started(shell: Shell, start: _Start) -> Asker:
    try:
        return await start(shell, _facts(shell.survey))
    except BaseException:
        await shell.close()
        raise


_Start = Callable[[Shell, VantageFacts], Awaitable[Asker]]


def _rungs(survey: Survey, why: str) -> list[tuple[str, _Start]]:
    """Rungs that the tools there allow, best first."""
    rungs: list[tuple[str, _Start]] = []
    if "nmap" in survey.tools and "Nmap version" in survey.word("nmap"):
        rungs.append(("nmap", lambda shell, facts: start_nmap(shell, why, facts)))
    if has_bash_tcp(survey):
        rungs.append(("bash", lambda shell, facts: start_bash(shell, why, facts)))
    if (kind := which_netcat(survey)) is not None:
        rungs.append((kind.shown, lambda shell, facts: start_netcat(shell, kind, why, facts)))
    return rungs


def _facts(survey: Survey) -> VantageFacts:
    user = survey.word("user")
    host = survey.word("host")
    return VantageFacts(
        runner="",
        host_name=host if host and " " not in host else "",
        user=user if user and " " not in user else "",
        addresses=survey.addresses,
    )


def _why_no_agent(error: VantageError, shown: str) -> str:
    said = error.message
    if "python3" in said and _NO_PYTHON.search(said):
        return f"no python3 on {shown}"
    lines = [line for line in said.split(_LINE_FEED) if line.strip()]
    if len(lines) > 1:  # of a traceback the last line says what happened, of anything else the first
        said = f"{lines[0].partition(':')[0]}: {lines[-1].strip()}" if "Traceback" in said else lines[0]
    return printable(said, 200)


def _nothing(shown: str, tried: list[str]) -> VantageError:
    return VantageError(f"nothing on {shown} can ask: {'; '.join(tried)}", HINT)
