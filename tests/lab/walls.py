"""The lab's three hosts with rules of every kind, the product's own reading of each, and plain sockets as the judge."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from kubeshield_tui.evidence.collect.host import collect_host
from kubeshield_tui.evidence.collect.script import COMMANDS
from kubeshield_tui.evidence.hosts import HostLayer, How, firewall_layer, visit_of
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.netfilter.listeners import listening
from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.vantages.ssh_channel import CommandResult
from tests.lab.netns import ROUTER4, SERVER4, SERVER6, Lab

HOSTS = ("client", "router", "server")
CLIENT4, CLIENT6 = "192.0.2.1", "2001:db8:1::1"
OPEN = range(8001, 8016)

ROUTER_NFT = """
table inet wall {
  set pairs { type ipv4_addr . inet_service; elements = { 198.51.100.1 . 8005 } }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    tcp dport vmap { 8001 : accept, 8002 : drop }
    tcp dport 8003 reject with tcp reset
    tcp dport 8004 reject with icmpx type admin-prohibited
    ip daddr . tcp dport @pairs counter drop
    udp dport 7002 counter drop
  }
}
"""
ROUTER_IPTABLES = """*nat
:TWO -
-A TWO -p tcp -j DNAT --to 198.51.100.1:8001
-A PREROUTING -d 192.0.2.254 -p tcp --dport 9000 -j DNAT --to-destination 198.51.100.1:8001
-A PREROUTING -d 192.0.2.254 -p tcp --dport 9001 -m statistic --mode nth --every 2 --packet 0 -j TWO
-A PREROUTING -d 192.0.2.254 -p tcp --dport 9001 -j DNAT --to 198.51.100.1:8010
-A POSTROUTING -d 198.51.100.1 -p tcp --dport 8001 -m conntrack --ctstate DNAT -j MASQUERADE
COMMIT
*filter
-A FORWARD -p tcp --dport 8006 -m conntrack --ctstate NEW -j DROP
-A FORWARD -m set --match-set closed dst,dst -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
SERVER_NFT = """
table inet late {
  chain output {
    type filter hook output priority 0;
    tcp sport 8008 counter drop
  }
  chain input {
    type filter hook input priority 0;
    ct state invalid drop
    tcp dport 8013 tcp flags & (syn | ack) == ack reject with tcp reset
  }
}
"""
CLIENT_NFT = """
table inet own {
  chain output {
    type filter hook output priority 0;
    tcp dport 8009 drop
  }
}
"""
SERVE = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    taken = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    chosen.register(taken, selectors.EVENT_READ)
echo = []
for port in (7001, 7002):
    each = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    each.bind(("::", port))
    echo.append(each)
    chosen.register(each, selectors.EVENT_READ)
print("ready", flush=True)
kept = []
while True:
    for key, _ in chosen.select():
        if key.fileobj in echo:
            data, sender = key.fileobj.recvfrom(100)
            key.fileobj.sendto(data, sender)
        else:
            kept.append(key.fileobj.accept()[0])
"""
ASK = """
import errno, json, socket, struct, sys
from concurrent.futures import ThreadPoolExecutor
def ask(kind, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    way = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    level, option = (socket.IPPROTO_IPV6, 25) if family == socket.AF_INET6 else (socket.SOL_IP, 11)
    way.setsockopt(level, option, 1)
    way.settimeout(0.7)
    try:
        way.connect((host, port))
        if kind == "tcp":
            way.settimeout(0.3)
            way.send(b"x")
            try:
                return "late" if way.recv(1) == b"" else "open"
            except TimeoutError:
                return "open"
            except ConnectionError:
                return "late"
        way.send(b"x")
        way.recv(10)
        return "open"
    except TimeoutError:
        return "drop"
    except ConnectionResetError:
        return "late"
    except OSError as error:
        try:
            _, told, _, _ = way.recvmsg(1, 512, socket.MSG_ERRQUEUE)
            number, origin, type_, code = struct.unpack("=IBBB", told[0][2][:7])
            return f"icmp {type_}/{code}" if origin in (2, 3) else "refused"
        except OSError:
            return "refused" if error.errno == errno.ECONNREFUSED else f"errno {errno.errorcode[error.errno]}"
    finally:
        way.close()
with ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(lambda each: ask(*each), json.loads(sys.argv[1])))))
"""
ICMP = {
    "icmp-port-unreachable": "icmp 3/3", "icmp-host-prohibited": "icmp 3/10", "icmp-admin-prohibited": "icmp 3/13",
    "icmp-net-unreachable": "icmp 3/0", "icmpv6-admin-prohibited": "icmp 1/1", "icmpv6-port-unreachable": "icmp 1/4",
    "tcp-reset": "refused",
}  # fmt: skip


@contextmanager
def walls(lab: Lab) -> Iterator[Lab]:
    """Set up all rules and listeners."""
    for host in HOSTS:
        lab.on(host, "nft", "flush", "ruleset")
    lab.on("router", "ipset", "create", "closed", "hash:ip,port")
    lab.on("router", "ipset", "add", "closed", "198.51.100.1,tcp:8011")
    lab.on("router", "iptables-nft-restore", given=ROUTER_IPTABLES)
    lab.on("router", "nft", "-f", "-", given=ROUTER_NFT)
    lab.on("server", "nft", "-f", "-", given=SERVER_NFT)
    lab.on("server", "iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "8007", "-j", "DROP")
    lab.on("client", "nft", "-f", "-", given=CLIENT_NFT)
    lab.on("client", "ip", "route", "add", "prohibit", "198.51.100.99/32")
    server = lab.spawn("server", sys.executable, "-c", SERVE, *map(str, OPEN))
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    yield lab
    lab.on("server", "iptables-legacy", "-F", "INPUT")


def shell(lab: Lab, host: str) -> object:
    """What runs the product's script on a host: a real shell in its namespace."""

    async def run(argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        process = await asyncio.create_subprocess_exec(
            *lab.argv(host, *argv), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, said = await process.communicate()
        return CommandResult(exit_status=process.returncode or 0, stdout=out, stderr=said, truncated=False)

    return run


async def read(lab: Lab, host: str, commands: Mapping[str, str] = COMMANDS) -> Gathered:
    """Read a host as the product does."""
    return Gathered(await collect_host(VantageId(f"ssh:{host}"), host, shell(lab, host), commands))  # type: ignore[arg-type]


def ask(lab: Lab, questions: Sequence[tuple[str, str, int]]) -> list[str]:
    """What plain sockets on the client meet."""
    told = lab.on("client", sys.executable, "-c", ASK, json.dumps(list(questions)))
    answers: list[str] = json.loads(told)
    return answers


def layers(hosts: Mapping[str, Gathered], kind: str, target: str, port: int) -> list[HostLayer]:
    """What each host on the way says, the visitor handed on as it translates him, until one refuses."""
    source = CLIENT6 if ":" in target else CLIENT4
    visit = visit_of(source, target, port, kind, begins_here=True)
    found: list[HostLayer] = []
    for name in HOSTS:
        assert visit is not None
        if name == "server" and visit.target not in (SERVER4, SERVER6):
            break
        layer = firewall_layer(hosts[name], visit, hosts[name].at)
        found.append(layer)
        if layer.verdict is not Predicted.ALLOW:
            break
        visit = layer.onward[0]
    return found


def expected(hosts: Mapping[str, Gathered], kind: str, target: str, port: int) -> str:
    """What a plain socket must meet, as the rules say."""
    told = layers(hosts, kind, target, port)
    last = told[-1]
    if last.verdict is Predicted.UNKNOWN:
        return "unknown"
    match last.how:
        case How.DROP:
            return "drop"
        case How.LATE:
            return "late"
        case How.REJECT:
            return ICMP[last.answer]
        case How.NO_ROUTE:
            return "no-route"
    if len(told) < len(HOSTS) and target != ROUTER4:
        return "passed on"
    end = hosts["server" if len(told) == len(HOSTS) else "router"]
    at, to = (told[-2].onward[0].target, told[-2].onward[0].port) if len(told) == len(HOSTS) else (target, port)
    assert end.listeners is not None
    family = "ip6" if ":" in at else "ip"
    return "open" if listening(end.listeners, family, kind, at, to) else "refused" if kind == "tcp" else "icmp 3/3"
