"""Every rung of the ladder on the same targets, beside the agent: states differ only by what the rung declares."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.vantages.asker import Asker
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.ladder import climb
from kubeshield_tui.vantages.local import ProcessChannel
from tests.contract.places import RUNGS
from tests.lab import servers
from tests.lab.netns import SERVER4, SERVER6, Lab

pytestmark = pytest.mark.netns

TIMING = Timing(timeout=1.0, confirm=1.0, attempts=2)
CODES4 = ("net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", "net-prohibited",
          "host-prohibited", "admin-prohibited")  # fmt: skip
CODES6 = ("no-route", "admin-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route")
RULES = "\n".join(
    [f"tcp dport {8000 + number} reject with icmp type {code}" for number, code in enumerate(CODES4)]
    + [f"tcp dport {8020 + number} reject with icmpv6 type {code}" for number, code in enumerate(CODES6)]
    + ["tcp dport 8100 drop", "tcp dport 8101 reject with tcp reset"]
)
TARGETS: dict[str, tuple[str, int]] = {
    **{f"4 {code}": (SERVER4, 8000 + number) for number, code in enumerate(CODES4)},
    **{f"6 {code}": (SERVER6, 8020 + number) for number, code in enumerate(CODES6)},
    **{f"4 {name}": (SERVER4, port) for name, port in (("open", servers.OPEN), ("closed", 6999), ("drop", 8100))},
    **{f"6 {name}": (SERVER6, port) for name, port in (("open", servers.OPEN), ("closed", 6999), ("drop", 8100))},
    "4 tcp-reset": (SERVER4, 8101),
    "4 full": (SERVER4, servers.FULL),
    "4 greets": (SERVER4, servers.GREETS),
    "4 own drop": (SERVER4, 8110),
    "4 own reject": (SERVER4, 8111),
    "4 dead on the link": ("192.0.2.77", 80),
    "4 dead behind a router": ("198.51.100.77", 80),
    "blackhole": ("203.0.113.1", 80),
    "prohibit": ("203.0.113.17", 80),
    "unreachable": ("203.0.113.33", 80),
    "6 unreachable": ("2001:db8:bad::1", 80),
    "6 prohibit": ("2001:db8:bae::1", 80),
    "broadcast": ("255.255.255.255", 80),
}
ROUTES = ("blackhole 203.0.113.0/28", "prohibit 203.0.113.16/28", "unreachable 203.0.113.32/28",
          "unreachable 2001:db8:bad::/48", "prohibit 2001:db8:bae::/48")  # fmt: skip
LOOKS_CLOSED = {"4 port-unreachable", "6 port-unreachable", "4 own reject"}
"""What every rung but nmap -sS takes for a closed port, and says so."""
NAMELESS = {
    Reason.HOST_PROHIBITED: Reason.HOST_UNREACH,
    Reason.ADMIN_PROHIBITED: Reason.HOST_UNREACH,
    Reason.NET_PROHIBITED: Reason.NET_UNREACH,
}
"""ICMP codes that errno does not keep apart on IPv4."""


@pytest.fixture(scope="module")
def served(network: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    process = network.spawn("server", sys.executable, str(Path(servers.__file__)), str(_certificates(tmp_path_factory)))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    network.rules("router", RULES)
    network.rules("client", "tcp dport 8110 drop\ntcp dport 8111 reject", hook="output")
    for route in ROUTES:
        network.on("client", "ip", *(["-6"] if ":" in route else []), "route", "add", *route.split())
    return network


def _certificates(factory: pytest.TempPathFactory) -> Path:
    from kubeshield_tui.range.certificates import Authority

    folder = factory.mktemp("servers")
    authority = Authority("lab-ca", folder)
    authority.server("server", (SERVER4,))
    (folder / "ca.pem").write_bytes(authority.pem)
    return folder


@asynccontextmanager
async def rung(lab: Lab, *environment: str) -> AsyncIterator[Asker]:
    async def run(argv: Sequence[str]) -> Channel:
        process = await asyncio.create_subprocess_exec(
            *lab.argv("client", "/usr/bin/env", *environment, *argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return ProcessChannel(process)

    asker = await climb(run, "client")
    try:
        yield asker
    finally:
        await asker.close()


def probe(host: str, port: int, timing: Timing = TIMING, protocol: Protocol = Protocol.TCP) -> Probe:
    return Probe(
        endpoint=EndpointId(f"{host}:{port}"),
        vantage=VantageId("client"),
        host=host,
        port=port,
        timing=timing,
        protocol=protocol,
    )


async def ask_all(asker: Asker) -> dict[str, Observation]:
    answers = await asyncio.gather(*(asker.ask(probe(*target)) for target in TARGETS.values()))
    return dict(zip(TARGETS, answers, strict=True))


@pytest.fixture(scope="module")
def agent_answers(served: Lab) -> dict[str, Observation]:
    async def ask() -> dict[str, Observation]:
        async with rung(served) as asker:
            assert asker.facts.runner.startswith("python")
            return await ask_all(asker)

    return asyncio.run(ask())


@pytest.mark.parametrize("name", RUNGS)
async def test_states_differ_from_the_agents_only_by_what_is_declared(
    served: Lab, agent_answers: dict[str, Observation], name: str, tmp_path: Path
) -> None:
    environment = RUNGS[name].environment(tmp_path / "bin")
    async with rung(served, *environment) as asker:
        assert asker.facts.runner.startswith(RUNGS[name].runner)
        assert asker.facts.runner.endswith("no python3 on client")
        told = await ask_all(asker)
        blind = " ".join(asker.facts.cannot_see)
    wrong = []
    for target, answer in told.items():
        expected = _declared(name, target, agent_answers[target], blind)
        if (answer.state, answer.reason) not in expected:
            wanted = ", ".join(f"{state} {reason}" for state, reason in expected)
            wrong.append(f"{target}: {answer.state} {answer.reason} ({answer.detail}), not {wanted}")
    assert not wrong, "\n".join(wrong)
    assert [attempt.reason for attempt in told["4 drop"].attempts] == [Reason.NO_RESPONSE] * 2


def _declared(name: str, target: str, agent: Observation, blind: str) -> set[tuple[State, Reason]]:
    """What a rung may say of a target."""
    exact = {(agent.state, agent.reason)}
    if agent.state is State.ERROR:
        return {(State.ERROR, reason) for reason in Reason}  # the vantage's own fault, whatever it is called
    if "IPv6 is not asked" in blind and ":" in TARGETS[target][0]:
        return {(State.ERROR, Reason.RESOURCES)}
    if "dead" in target:  # address resolution takes 3 s: who waits longer hears of it
        return {(State.FILTERED, Reason.NO_RESPONSE), (State.FILTERED, Reason.HOST_UNREACH)}
    if name == "nmap -sS" and target != "4 own reject":  # the kernel refuses to send that: connect() asks it then
        return exact
    if target in LOOKS_CLOSED:
        assert "looks closed" in blind
        return {(State.CLOSED, Reason.CONN_REFUSED)}
    if target.startswith("4") and agent.reason in NAMELESS:
        assert "ICMP code" in blind
        return {(State.FILTERED, NAMELESS[agent.reason])}
    return exact


async def test_nmap_as_root_asks_udp_and_no_other_rung_pretends_to(served: Lab, tmp_path: Path) -> None:
    for number, name in enumerate(("nmap -sS", "nmap -sT", "bash")):
        async with rung(served, *RUNGS[name].environment(tmp_path / str(number))) as asker:
            answer = await asker.ask(probe(SERVER4, 6998, protocol=Protocol.UDP))
        told = (answer.state, answer.reason)
        assert told == ((State.CLOSED, Reason.PORT_UNREACH) if not number else (State.ERROR, Reason.RESOURCES))


async def test_four_hundred_silent_targets_do_not_take_four_hundred_waits(served: Lab, tmp_path: Path) -> None:
    served.rules("router", "tcp dport 10000-10399 drop")
    try:
        async with rung(served, *RUNGS["nmap -sT"].environment(tmp_path / "bin")) as asker:
            begun = asyncio.get_running_loop().time()
            answers = await asyncio.gather(*(asker.ask(probe(SERVER4, 10000 + number)) for number in range(400)))
            assert asyncio.get_running_loop().time() - begun < 20
        assert {(answer.state, answer.reason) for answer in answers} == {(State.FILTERED, Reason.NO_RESPONSE)}
        assert {len(answer.attempts) for answer in answers} == {2}
    finally:
        served.rules("router", RULES)
