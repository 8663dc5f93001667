"""The parsers of the world's mess, each with samples of what it reads and with what is then asked of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from kubeshield_tui.cli.explain_firewall import read_packets
from kubeshield_tui.discovery.targets_file import parse_line
from kubeshield_tui.errors import KubeShieldError
from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.dumps import read_rulesets
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import holds_nothing, parse_host
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import Packet, parse_packet
from kubeshield_tui.evidence.netfilter.result import as_json
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from kubeshield_tui.evidence.netfilter.telling import result_lines
from kubeshield_tui.evidence.netpol.explain import evaluate
from kubeshield_tui.evidence.netpol.manifests import Reading
from kubeshield_tui.evidence.netpol.party import Question, parse_end
from kubeshield_tui.judgement.lines import baseline_text
from kubeshield_tui.settings.expect_file import parse_expectations
from tests.lab.netfilter.generators.recorded import FOLDER, HOST, RULES, SEEN

NAMES = ("firewalld", "firewalld-iptables", "ufw", "docker", "kube-proxy-iptables", "kube-proxy-nftables")
SETS = """create admins hash:ip family inet hashsize 1024 maxelem 65536 timeout 600
add admins 192.0.2.1 timeout 30
create nets hash:net family inet6
add nets 2001:db8::/32
add nets 2001:db8:1::/48 nomatch
create pairs hash:ip,port family inet
add pairs 192.0.2.1,udp:53
add pairs 192.0.2.2,tcp:80-90
create ports bitmap:port range 0-65535
add ports 22-25
create links hash:net,iface family inet
add links 10.0.0.0/8,eth0
create all list:set size 8
add all admins
add all nets
"""
PACKETS = (
    "src=192.0.2.1,sport=40000,dst=192.0.2.254,dport=22,protocol=tcp,iif=eth0,hook=input,tcp_flags=syn|ack,ct_state=new",
    "family=ip6,protocol=icmpv6,src=2001:db8::1,dst=2001:db8::2,iif=eth0,oif=eth1,icmp_type=128,icmp_code=0,id=x",
    "src=10.0.0.1,dst=10.0.0.2,protocol=47,hook=output,mark=0x4000,oif=lo",
)
MANIFEST = """apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec:
  nodeName: one
  containers: [{name: db, image: db, ports: [{name: sql, containerPort: 5432}]}]
status: {phase: Running, podIP: 10.244.0.2, podIPs: [{ip: 10.244.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: one, containers: [{name: web, image: web}]}
status: {phase: Running, podIP: 10.244.0.3, podIPs: [{ip: 10.244.0.3}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}
      namespaceSelector: {}
    - ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.128/25]}
    ports: [{port: sql}, {port: 6000, endPort: 6010, protocol: UDP}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: all}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  ingress: [{name: x, action: Deny, from: [{namespaces: {matchLabels: {a: b}}}]}]
  egress: [{action: Accept, to: [{networks: [203.0.113.0/24]}], protocols: [{tcp: {destinationPort: {number: 80}}}]}]
"""
TARGETS = """# what matters
192.0.2.1:22
[2001:db8::1]:443/tcp expect=blocked
db.example:8000-8010/udp   expect=reachable component=etcd
"""


class Victim(NamedTuple):
    """A parser."""

    samples: Sequence[str]
    read: Callable[[Random, str], None]
    """Raises where the parser does what it must not."""


def ask(random: Random, ruleset: Ruleset, host: str = "") -> None:
    """Judge packets by a ruleset, and show the answers in both forms."""
    judge = Firewall(ruleset, parse_host(host) if host else None)
    for packet in random.sample(ASKED, 3):
        result = judge.judge(packet, explain=True)
        assert result.outcomes
        json.dumps(as_json(result))
        assert all(line.isprintable() for line in result_lines(packet, result))


def _dump(name: str) -> Callable[[Random, str], None]:
    def read(random: Random, text: str) -> None:
        rulesets = [parse_nft(text)]
        sets = ipset.parse(random.choice((SETS, text)))
        dumps = [iptables.parse(text, sets=sets)]
        rulesets.append(merge(None, dumps, sets))
        others = recorded(random.choice(NAMES))
        try:
            beside = [(each, others[each]) for each in others if each in RULES]
            rulesets.append(read_rulesets([("spoiled", text), *beside]))
        except KubeShieldError:
            rulesets.append(merge(rulesets[0], dumps, sets))
        if name == "nft":
            ask(random, rulesets[0], others[HOST])
        ask(random, rulesets[1 if name == "iptables" else 2], random.choice(("", others[HOST])))

    return read


def _host(random: Random, text: str) -> None:
    holds_nothing(parse_host(text))
    told = recorded(random.choice(NAMES))
    ask(random, read_rulesets((name, told[name]) for name in told if name in RULES), text)


def _packet(random: Random, text: str) -> None:
    try:
        packet = parse_packet(text)
    except KubeShieldError:
        return
    result = Firewall(_DOCKER).judge(packet, explain=True)
    json.dumps(as_json(result))
    result_lines(packet, result)


def _packets(random: Random, text: str) -> None:
    try:
        for packet in read_packets("spoiled", text.splitlines()):
            Firewall(_DOCKER).judge(packet)
    except KubeShieldError:
        pass


def _manifests(random: Random, text: str) -> None:
    reading = Reading()
    reading.take(text, "spoiled.yaml")
    world = reading.world()
    for source in ("shop/web", "198.51.100.7"):
        ends = parse_end(source), parse_end("shop/db")
        assert ends[0] is not None
        assert ends[1] is not None
        evaluate(world, Question(source=ends[0], destination=ends[1], port=5432))


def _targets(random: Random, text: str) -> None:
    for number, line in enumerate(text.splitlines()):
        try:
            list(parse_line(line, "spoiled", f"spoiled:{number}"))
        except KubeShieldError:
            continue


def _expectations(random: Random, text: str) -> None:
    try:
        parse_expectations(text, "spoiled.toml", "spoiled.toml")
    except KubeShieldError:
        return


def recorded(name: str) -> dict[str, str]:
    if name not in _READ:
        _READ[name] = {each.name: each.read_text("utf-8") for each in (FOLDER / name).iterdir() if each.name != SEEN}
    return _READ[name]


def _samples(*files: str) -> list[str]:
    return [recorded(name)[file] for name in NAMES for file in files if file in recorded(name)]


_READ: dict[str, dict[str, str]] = {}
ASKED = [
    Packet(family=family, protocol=protocol, src=ends[0], dst=ends[1], sport=40000, dport=port, iif=iif, hook=hook)
    for family, ends in (("ip", ("192.0.2.1", "192.0.2.254")), ("ip", ("172.17.0.2", "198.51.100.1")),
                         ("ip", ("10.244.0.2", "10.96.233.155")), ("ip6", ("2001:db8:1::1", "2001:db8:2::1")))
    for protocol in ("tcp", "udp", "icmp" if family == "ip" else "icmpv6")
    for port in (22, 80, 8080)
    for hook, iif in (("input", "labrc"), ("input", ""), ("output", ""))
]  # fmt: skip
_DOCKER = read_rulesets((name, text) for name, text in recorded("docker").items() if name in RULES)
VICTIMS = {
    "nft": Victim(_samples("nft.json"), _dump("nft")),
    "iptables": Victim(_samples("iptables-save", "ip6tables-save"), _dump("iptables")),
    "ipset": Victim([SETS], _dump("ipset")),
    "host": Victim(_samples(HOST), _host),
    "packet": Victim(PACKETS, _packet),
    "packets": Victim(
        ["\n".join(json.dumps(dict(part.split("=") for part in each.split(","))) for each in PACKETS)], _packets
    ),
    "manifests": Victim([MANIFEST], _manifests),
    "targets": Victim([TARGETS], _targets),
    "expectations": Victim([baseline_text()], _expectations),
}
