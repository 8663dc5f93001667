"""The agent in a client's namespace against real packets: every state and reason, IPv4 and IPv6, as the table says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubeshield_tui.model.endpoint import Conversation, Request, TlsMode
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Posture, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.range.certificates import Authority
from kubeshield_tui.vantages.link import AgentLink
from kubeshield_tui.vantages.local import ProcessChannel
from tests.lab import servers
from tests.lab.netns import ROUTER4, ROUTER6, SERVER4, SERVER6, Lab

pytestmark = pytest.mark.netns

QUICK = Timing(timeout=0.4, confirm=0.4, attempts=2)
TLS = Conversation(tls=TlsMode.ON)
TLS_HTTP = Conversation(tls=TlsMode.ON, requests=(Request(path="/ok"), Request(path="/private")))


@pytest.fixture(scope="module")
def served(network: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("servers")
    authority = Authority("lab-ca", folder)
    authority.server("server", (SERVER4,))
    (folder / "ca.pem").write_bytes(authority.pem)
    process = network.spawn("server", sys.executable, str(Path(servers.__file__)), str(folder))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return network


@asynccontextmanager
async def agent(lab: Lab, *command: str) -> AsyncIterator[AgentLink]:
    process = await asyncio.create_subprocess_exec(
        *lab.argv("client", *command, sys.executable, "-I", "-S", *BOOTSTRAP[1:]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    link = await AgentLink.start(ProcessChannel(process))
    try:
        yield link
    finally:
        await link.close()


def probe(
    host: str, port: int, conversation: Conversation | None = None, timing: Timing = QUICK, kind: str = ""
) -> Probe:
    return Probe(
        endpoint=EndpointId(f"{host}:{port}"),
        vantage=VantageId("local"),
        host=host,
        port=port,
        conversation=conversation or Conversation(),
        timing=timing,
    )


async def ask(lab: Lab, *probes: Probe) -> list[Observation]:
    async with agent(lab) as link:
        return list(await asyncio.gather(*(link.ask(each) for each in probes)))


def seen(observation: Observation) -> tuple[State, Reason]:
    return observation.state, observation.reason


REJECTS = [
    ("icmp", SERVER4, "net-unreachable", Reason.NET_UNREACH, 0),
    ("icmp", SERVER4, "host-unreachable", Reason.HOST_UNREACH, 1),
    ("icmp", SERVER4, "prot-unreachable", Reason.PROTO_UNREACH, 2),
    ("icmp", SERVER4, "port-unreachable", Reason.PORT_UNREACH, 3),
    ("icmp", SERVER4, "net-prohibited", Reason.NET_PROHIBITED, 9),
    ("icmp", SERVER4, "host-prohibited", Reason.HOST_PROHIBITED, 10),
    ("icmp", SERVER4, "admin-prohibited", Reason.ADMIN_PROHIBITED, 13),
    ("icmpv6", SERVER6, "no-route", Reason.NET_UNREACH, 0),
    ("icmpv6", SERVER6, "admin-prohibited", Reason.ADMIN_PROHIBITED, 1),
    ("icmpv6", SERVER6, "addr-unreachable", Reason.HOST_UNREACH, 3),
    ("icmpv6", SERVER6, "port-unreachable", Reason.PORT_UNREACH, 4),
    ("icmpv6", SERVER6, "policy-fail", Reason.ADMIN_PROHIBITED, 5),
    ("icmpv6", SERVER6, "reject-route", Reason.ADMIN_PROHIBITED, 6),
]


async def test_every_icmp_reject_is_filtered_with_its_reason_code_and_sender(served: Lab) -> None:
    rules = "\n".join(
        f"tcp dport {8000 + number} reject with {family} type {code}"
        for number, (family, _, code, _, _) in enumerate(REJECTS)
    )
    served.rules("router", rules)
    observations = await ask(served, *(probe(host, 8000 + number) for number, (_, host, *_) in enumerate(REJECTS)))
    for (family, _, _, reason, code), observation in zip(REJECTS, observations, strict=True):
        assert seen(observation) == (State.FILTERED, reason)
        assert observation.icmp is not None
        assert observation.icmp.code == code
        assert observation.icmp.source == (ROUTER4 if family == "icmp" else ROUTER6)
        assert len(observation.attempts) == 1  # an answer is an answer: no second attempt


@pytest.mark.parametrize("host", [SERVER4, SERVER6])
async def test_open_closed_and_silence(served: Lab, host: str) -> None:
    served.rules("router", "tcp dport 8100 drop\ntcp dport 8101 reject with tcp reset")
    opened, closed, dropped, reset = await ask(
        served, probe(host, servers.OPEN), probe(host, 6999), probe(host, 8100), probe(host, 8101)
    )
    assert seen(opened) == (State.OPEN, Reason.SYN_ACK)
    assert opened.source in {"192.0.2.1", "2001:db8:1::1"}
    assert seen(closed) == (State.CLOSED, Reason.CONN_REFUSED)
    assert closed.icmp is None
    assert seen(dropped) == (State.FILTERED, Reason.NO_RESPONSE)
    assert [attempt.reason for attempt in dropped.attempts] == [Reason.NO_RESPONSE] * 2
    assert seen(reset) == (State.CLOSED, Reason.CONN_REFUSED)  # a RST is a RST: judgement asks twice


async def test_a_full_backlog_and_a_dead_host_keep_silent_or_say_so(served: Lab) -> None:
    served.rules("router", "")
    full, dead = await ask(
        served,
        probe(SERVER4, servers.FULL),
        probe("198.51.100.77", 80, timing=Timing(timeout=4.0, confirm=4.0, attempts=1)),
    )
    assert seen(full) == (State.FILTERED, Reason.NO_RESPONSE)
    assert seen(dead) == (State.FILTERED, Reason.HOST_UNREACH)  # the router's ARP failed


async def test_what_the_vantage_itself_cannot_send_is_its_own_fault(served: Lab) -> None:
    served.rules("router", "")
    served.on("client", "ip", "route", "add", "blackhole", "203.0.113.0/28")
    served.on("client", "ip", "route", "add", "prohibit", "203.0.113.16/28")
    served.on("client", "ip", "route", "add", "unreachable", "203.0.113.32/28")
    blackhole, prohibit, unreachable = await ask(
        served, probe("203.0.113.1", 80), probe("203.0.113.17", 80), probe("203.0.113.33", 80)
    )
    assert seen(blackhole) == (State.ERROR, Reason.NO_ROUTE)
    assert seen(prohibit) == (State.ERROR, Reason.PERMISSION)
    assert seen(unreachable) == (State.ERROR, Reason.NO_ROUTE)


async def test_an_unprivileged_agent_sees_the_same(served: Lab) -> None:
    served.rules("router", "tcp dport 8200 reject with icmp type admin-prohibited")
    async with agent(served, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups") as link:
        assert link.facts.user in {"nobody", "65534"}
        observation = await link.ask(probe(SERVER4, 8200))
    assert seen(observation) == (State.FILTERED, Reason.ADMIN_PROHIBITED)
    assert observation.icmp is not None


async def test_conversations(served: Lab) -> None:
    served.rules("router", "")
    quick = Timing(timeout=0.4, confirm=0.4, attempts=1)
    greets, resets, closing, plain, tls, private = await ask(
        served,
        probe(SERVER4, servers.GREETS, TLS_HTTP, quick),
        probe(SERVER4, servers.RESETS, timing=quick),
        probe(SERVER4, servers.CLOSING, timing=quick),
        probe(SERVER4, servers.HTTP, Conversation(requests=(Request(path="/ok"), Request(path="/forbidden"))), quick),
        probe(SERVER4, servers.TLS13, TLS, quick),
        probe(SERVER4, servers.TLS13, TLS_HTTP, quick),
    )
    assert greets.banner.startswith("220 mail ␛]0;owned␇")  # printable, and neither TLS nor HTTP was tried
    assert greets.tls is None
    assert greets.http == ()
    assert seen(resets) == (State.OPEN, Reason.RESET)
    assert seen(closing) == (State.OPEN, Reason.SYN_ACK)
    assert [answer.status for answer in plain.http] == [200, 403]
    assert plain.posture is Posture.FORBIDDEN
    assert ("X-Evil", "␛[2J") in plain.http[0].headers
    assert tls.tls is not None
    assert tls.tls.version == "TLSv1.3"
    assert tls.tls.certificate is not None
    assert tls.tls.certificate.issuer == "CN=lab-ca"
    assert tls.posture is Posture.TLS
    assert private.posture is Posture.AUTH_REQUIRED


@pytest.mark.parametrize("port", [servers.MUTUAL13, servers.MUTUAL12])
@pytest.mark.parametrize("conversation", [TLS, TLS_HTTP])
async def test_a_demanded_client_certificate_is_recognised(served: Lab, port: int, conversation: Conversation) -> None:
    served.rules("router", "")
    (observation,) = await ask(served, probe(SERVER4, port, conversation, Timing(timeout=0.4, confirm=0.4, attempts=1)))
    assert observation.tls is not None
    assert observation.tls.client_certificate == "required"
    assert observation.posture is Posture.CLIENT_CERT_REQUIRED


async def test_whatever_an_open_port_does_it_stays_open_and_ends_in_time(served: Lab) -> None:
    served.rules("router", "")
    timing = Timing(timeout=0.3, confirm=0.3, attempts=1)
    requests = Conversation(requests=(Request(path="/ok"),))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    observations = await ask(
        served,
        probe(SERVER4, servers.TARPIT, requests, timing),
        probe(SERVER4, servers.GARBAGE, requests, timing),
        probe(SERVER4, servers.GARBAGE, TLS, timing),
        probe(SERVER4, servers.HTTP, TLS, timing),
        probe(SERVER4, servers.SILENT_TLS, TLS, timing),
    )
    assert {seen(observation) for observation in observations} == {(State.OPEN, Reason.SYN_ACK)}
    assert loop.time() - begun < timing.deadline + 3
    for observation in observations:
        assert all(character.isprintable() for character in observation.raw)
    assert observations[2].posture is Posture.PLAIN  # TLS was tried and the answer was none


async def test_names_are_resolved_at_the_vantage(served: Lab) -> None:
    served.rules("router", "")
    (unknown,) = await ask(served, probe("no-such-host.invalid", 80))
    assert seen(unknown) == (State.ERROR, Reason.DNS_FAILURE)
    hosts = 'file=$(mktemp); echo "$1 known" > $file; mount --bind $file /etc/hosts; rm $file; shift; exec "$@"'
    async with agent(served, "unshare", "--mount", "sh", "-c", hosts, "sh", SERVER4) as link:
        known = await link.ask(probe("known", servers.OPEN))
    assert seen(known) == (State.OPEN, Reason.SYN_ACK)
    assert known.peer == SERVER4


async def test_a_cancelled_probe_is_forgotten_and_the_link_goes_on(served: Lab) -> None:
    served.rules("router", "tcp dport 8300 drop")
    async with agent(served) as link:
        waiting = asyncio.create_task(link.ask(probe(SERVER4, 8300, timing=Timing(timeout=30, confirm=30))))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert seen(await link.ask(probe(SERVER4, servers.OPEN))) == (State.OPEN, Reason.SYN_ACK)


async def test_a_vantage_whose_own_link_went_down_is_at_fault_itself(network: Lab) -> None:
    """Last in this file: the link comes up again, but its neighbours must be found anew."""
    network.rules("router", "tcp dport 8400 drop")
    link = f"{network.prefix}c"
    async with agent(network) as running:
        waiting = asyncio.create_task(running.ask(probe(SERVER4, 8400, timing=Timing(timeout=1.5, confirm=1.5))))
        await asyncio.sleep(0.3)
        network.on("client", "ip", "link", "set", link, "down")
        try:
            observation = await waiting
            after = await running.ask(probe(SERVER4, 8400))
        finally:
            network.on("client", "ip", "link", "set", link, "up")
    assert seen(observation) == (State.ERROR, Reason.NO_ROUTE)
    assert seen(after) == (State.ERROR, Reason.NO_ROUTE)
