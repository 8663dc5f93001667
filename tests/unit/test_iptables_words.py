"""Each module and target of iptables in nft's words: every form that an option has, and what of it is not known."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kubeshield_tui.evidence.netfilter.ruleset import Assign
from tests.unit.iptables_rules import rules_of, shown


def at(text: str) -> int:
    return int(ip_address(text))


def said(line: str, **where: str) -> str:
    (rule,) = rules_of(line, **where)
    return "; ".join(map(shown, rule.statements))


A, B = at("10.0.0.1"), at("10.0.0.9")
UNKNOWN = "?unknown-module"
MATCHES = {
    "-p 0": "",
    "-4": "",
    "! -i +": "meta iifname != -\U0010ffff",
    "! -p tcp": "meta l4proto != 6",
    "! -p tcp --dport 22": f"meta l4proto != 6; {UNKNOWN}",
    "-s 10.0.0.1 -p tcp --dport 22": f"ip saddr == {A}; meta l4proto == 6; tcp dport == 22",
    "-p tcp --destination-port 22 --source-port 53": "meta l4proto == 6; tcp dport == 22; tcp sport == 53",
    "-p udp -m udp ! --sport 53": "meta l4proto == 17; udp sport != 53",
    "-p tcp ! --syn": "meta l4proto == 6; (tcp flags & 23) != 2",
    "-p tcp --tcp-flags SYN": f"meta l4proto == 6; {UNKNOWN}",
    "-p icmp --icmp-type 3/any": "meta l4proto == 1; icmp type == 3",
    "-p icmp ! --icmp-type any": "meta l4proto == 1; 1 == 0",
    "-p icmp ! --icmp-type 8": "meta l4proto == 1; icmp type != 8",
    "-p icmp ! --icmp-type 3/4": "meta l4proto == 1; icmp type . icmp code != (3, 4)",
    "-p icmp --icmp-type 255": "meta l4proto == 1; icmp type == 255",
    "-p icmp --icmp-type 256": f"meta l4proto == 1; {UNKNOWN}",
    "-p icmp --icmp-type 255/255": "meta l4proto == 1; icmp type . icmp code == (255, 255)",
    "-p icmp --icmp-type 3/256": f"meta l4proto == 1; {UNKNOWN}",
    "-p icmp --icmp-type 256/3": f"meta l4proto == 1; {UNKNOWN}",
    "-p icmp -m icmp --code 3": f"meta l4proto == 1; {UNKNOWN}",
    "-m multiport --sports 53": "th sport == 53",
    "-m multiport --destination-ports 53": "th dport == 53",
    "-m multiport --port 53": "(th sport == 53 | th dport == 53)",
    "-m multiport --odd 53": UNKNOWN,
    "-m conntrack --ctstatus SEEN_REPLY,ASSURED": "ct status in 6",
    "-m conntrack ! --ctstatus NONE": "ct status ! 0",
    "-m conntrack --ctdir ORIGINAL": "ct direction == 0",
    "-m conntrack ! --ctdir REPLY": "ct direction != 1",
    "-m conntrack --ctdir BOTH": UNKNOWN,
    "-m conntrack --ctproto udp": "meta l4proto == 17",
    "-m conntrack ! --ctorigsrc 10.0.0.1": f"ct original ip saddr != {A}",
    "-m conntrack --ctorigdst 10.0.0.1": f"ct original ip daddr == {A}",
    "-m conntrack --ctreplsrc 10.0.0.1": f"ct reply ip saddr == {A}",
    "-m conntrack --ctrepldst 10.0.0.1": f"ct reply ip daddr == {A}",
    "-m conntrack --ctorigsrcport 5": "ct original proto-src == 5",
    "-m conntrack ! --ctorigdstport 5:9": "ct original proto-dst != 5-9",
    "-m conntrack --ctreplsrcport 5": "ct reply proto-src == 5",
    "-m conntrack --ctrepldstport 5": "ct reply proto-dst == 5",
    "-m conntrack --ctexpire 5": UNKNOWN,
    "-m conntrack --ctstate NEW,ODD": UNKNOWN,
    "-m conntrack --ctstate SNAT,DNAT": "ct status in 48",
    "-m conntrack ! --ctstate SNAT": "(ct status ! 16 | ct state in 65)",
    "-m state ! --state NEW": "ct state ! 8",
    "-m mark --set 5": UNKNOWN,
    "-m connmark ! --mark 1/3": "(ct mark & 3) != 1",
    "-m addrtype --dst-type LOCAL --limit-iface-in": "fib daddr type == 2; ?routing",
    "-m addrtype --limit-iface-out": "?routing",
    "-m addrtype --odd LOCAL": UNKNOWN,
    "-m addrtype --src-type LOCAL,ODD": UNKNOWN,
    "-m iprange ! --dst-range 10.0.0.1-10.0.0.9": f"ip daddr != {A}-{B}",
    "-m iprange --range 10.0.0.1": UNKNOWN,
    "-m rpfilter": "fib saddr iif oif != ",
    "-m rpfilter --loose --validmark": "fib saddr mark oif != ",
    "-m rpfilter --accept-local": "?routing likely",
    "-m rpfilter --accept-local --invert": "?routing unlikely",
    "-m set --match-set nets src --packets-eq 5": "ip saddr == @nets; ?set-content",
    "-m set --match-set nets src ! --update-counters": "ip saddr == @nets",
    "-m set --match-set nets": UNKNOWN,
    "-m set --set nets dst": "ip daddr == @nets",
    "-m set --match-set nets6 src": "1 == 0",
    "-m set ! --match-set nets6 src": "",
    "-m set --match-set pairs dst": "?set-content",
    "-m set --match-set pairs dst,src,dst": "ip daddr . meta l4proto . th sport == @pairs",
    "-m set --match-set links dst,dst": "ip daddr . meta oifname == @links",
    "-m set ! --match-set ports src": "(meta l4proto != {2} | meta l4proto == {2} & th sport != @ports)",
    "-m set --match-set marked src,src": "ip saddr . meta mark == @marked",
    "-m set --odd nets src": UNKNOWN,
    "-m ttl --ttl-eq 255": "ip ttl == 255",
    "-m ttl --ttl-eq 256": UNKNOWN,
    "-m ttl ! --ttl-eq 64": "ip ttl != 64",
    "-m ttl --ttl-lt 5": "ip ttl < 5",
    "-m ttl --ttl-gt 5": "ip ttl > 5",
    "-m ttl --ttl-odd 5": UNKNOWN,
    "-m dscp --dscp 0x10": "ip dscp == 16",
    "-m frag --fragid 5": "1 == 0",
    "-m ndpi": UNKNOWN,
    "-m nfacct --nfacct-name x": "",
}


@pytest.mark.parametrize("line", MATCHES)
def test_matches(line: str) -> None:
    assert said(f"{line} -j DROP") == "; ".join(filter(None, (MATCHES[line], "drop")))


MULTICAST = f"{at('ff00::')}-{at('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')}"
MATCHES6 = {
    "-s fd00::1": f"ip6 saddr == {at('fd00::1')}",
    "-p icmpv6 -m icmp6 --icmpv6-type 133": "meta l4proto == 58; icmpv6 type == 133",
    "-p ipv6-icmp --icmpv6-type port-unreachable": "meta l4proto == 58; icmpv6 type . icmpv6 code == (1, 4)",
    "-m addrtype --dst-type LOCAL": "fib daddr type == 2",
    "-m addrtype ! --src-type LOCAL,ANYCAST": "fib saddr type != {2}",
    "-m addrtype --dst-type UNREACHABLE": "fib daddr type == 7",
    "-m addrtype --dst-type UNICAST": f"ip6 daddr != {MULTICAST}",
    "-m addrtype ! --dst-type UNICAST": f"ip6 daddr == {MULTICAST}",
    "-m addrtype --src-type MULTICAST": f"ip6 saddr == {MULTICAST}",
    "-m addrtype ! --src-type MULTICAST": f"ip6 saddr != {MULTICAST}",
    "-m addrtype --dst-type UNICAST,LOCAL": f"ip6 daddr != {MULTICAST}; fib daddr type == 2",
    "-m addrtype ! --dst-type UNICAST,LOCAL": "?routing",
    "-m addrtype --dst-type LOCAL,BROADCAST": "?routing",
    "-m addrtype --dst-type LOCAL,ANYCAST,UNREACHABLE": "fib daddr type == {3}",
    "-m addrtype --dst-type PROHIBIT": "?routing",
    "-m set --match-set nets6 dst": "ip6 daddr == @nets6",
    "-m hl --hl-eq 64": "ip6 hoplimit == 64",
    "-m rt --rt-type 0": "1 == 0",
    "-m hbh": "1 == 0",
}


@pytest.mark.parametrize("line", MATCHES6)
def test_matches_of_ipv6(line: str) -> None:
    assert said(f"{line} -j DROP", family="ip6") == "; ".join(filter(None, (MATCHES6[line], "drop")))


OPAQUE = "opaque unknown-module"
TARGETS = {
    "-g USER": "goto USER",
    "-j QUEUE": "opaque userspace",
    "-j RETURN": "return",
    "-j REJECT --reject-with admin-prohib": "reject icmp-admin-prohibited",
    "-j MARK --set-mark 0x1": "meta mark = 1",
    "-j MARK --set-mark 0x1/0xffffffff": "meta mark = 1",
    "-j MARK --set-xmark 0x1": "meta mark = 1",
    "-j MARK --and-mark 0x4": "meta mark = (meta mark & 4)",
    "-j MARK --xor-mark 0x4": "meta mark = (meta mark ^ 4)",
    "-j MARK --set-mark x": OPAQUE,
    "-j MARK --set-mark": OPAQUE,
    "-j MARK --odd 5": OPAQUE,
    "-j CONNMARK --set-xmark 0x1/0x3": "ct mark = ((ct mark & 4294967292) ^ 1)",
    "-j CONNMARK --restore-mark": "meta mark = ct mark",
    "-j CONNMARK --restore-mark --mask 0xf": "meta mark = ((meta mark & 4294967280) ^ (ct mark & 15))",
    "-j CONNMARK --restore-mark --ctmask 0xf": "meta mark = (ct mark & 15)",
    "-j CONNMARK --save-mark --mask 0xf": "ct mark = ((ct mark & 4294967280) ^ (meta mark & 15))",
    "-j CONNMARK --save-mark --nfmask 0xf": "ct mark = (meta mark & 15)",
    "-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xf0": "ct mark = ((ct mark & 4294967055) ^ (meta mark & 15))",
    "-j NOTRACK": "notrack",
    "-j SET --add-set pairs src,dst": "add @pairs ip saddr . meta l4proto . th dport",
    "-j SET --del-set nets dst": "delete @nets ip daddr",
    "-j SET --add-set macs src": OPAQUE,
    "-j SET --add-set nets": OPAQUE,
    "-j SET --map-set nets src": OPAQUE,
    "-j TEE --gateway 10.0.0.1": "",
}


@pytest.mark.parametrize("line", TARGETS)
def test_targets(line: str) -> None:
    assert said(line) == TARGETS[line]


def test_a_mark_that_there_is_none_to_restore_from_does_not_end_the_rule() -> None:
    """xt_CONNMARK does nothing for a packet without a connection, and the rule is met; others break off."""
    for line, breaks in (("-j CONNMARK --restore-mark", False), ("-j CONNMARK --save-mark", True)):
        ((statement,),) = (rule.statements for rule in rules_of(line))
        assert isinstance(statement, Assign)
        assert statement.breaks is breaks


TRANSLATIONS = {
    ("PREROUTING", "-j DNAT --to-destination 10.0.0.1:80"): f"dnat {A} 80",
    ("PREROUTING", "-j DNAT --to-destination 10.0.0.1-10.0.0.9"): f"dnat {A}-{B}",
    ("PREROUTING", "-j DNAT --persistent"): OPAQUE,
    ("PREROUTING", "-j DNAT --to-destination host:80"): OPAQUE,
    ("PREROUTING", "-j REDIRECT"): "redirect",
    ("PREROUTING", "-j REDIRECT --to-port 80"): "redirect 80",
    ("POSTROUTING", "-j SNAT --to-source 10.0.0.1:1024-2048"): f"snat {A} 1024-2048",
    ("POSTROUTING", "-j MASQUERADE"): "masquerade",
    ("POSTROUTING", "-j NETMAP --to 10.0.0.1"): f"snat {A}-{A} netmap",
    ("INPUT", "-j NETMAP --to 10.0.0.1"): f"snat {A}-{A} netmap",
    ("OUTPUT", "-j NETMAP --to 10.0.0.1"): f"dnat {A}-{A} netmap",
    ("USER", "-j NETMAP --to 10.0.0.1"): OPAQUE,
}


@pytest.mark.parametrize(("chain", "line"), TRANSLATIONS)
def test_translations(chain: str, line: str) -> None:
    assert said(line, table="nat", chain=chain) == TRANSLATIONS[chain, line]


@pytest.mark.parametrize(
    ("place", "end"),
    [
        ("fd00::1", f"{at('fd00::1')}"),
        ("[fd00::1]", f"{at('fd00::1')}"),
        ("[fd00::1]:80", f"{at('fd00::1')} 80"),
        ("[fd00::1]:80-90", f"{at('fd00::1')} 80-90"),
        ("::1", f"{at('::1')}"),
        ("[fd00::1-fd00::9]:80", f"{at('fd00::1')}-{at('fd00::9')} 80"),
        (":80", "80"),
    ],
)
def test_ends_of_ipv6(place: str, end: str) -> None:
    line = f"-j DNAT --to-destination {place}"
    assert said(line, table="nat", chain="PREROUTING", family="ip6") == f"dnat {end}"


def test_rejections_of_ipv6() -> None:
    for told, answer in (("", "port-unreachable"), (" --reject-with port-unreach", "port-unreachable"),
                         (" --reject-with no-route", "no-route")):  # fmt: skip
        assert said(f"-j REJECT{told}", family="ip6") == f"reject icmpv6-{answer}"
    assert said("-j REJECT --reject-with port-unreach") == "reject icmp-port-unreachable"
