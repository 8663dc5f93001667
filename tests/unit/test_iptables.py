"""iptables-save in, rules in nft's words out: one table of lines, then all that a dump can have wrong with it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.ruleset import Chain, Doubt, Opaque, Rule, Ruleset, Table
from tests.unit.iptables_rules import NET_10, SETS, rules_of, shown

LINES = {
    "-s 10.0.0.0/8 -j ACCEPT": f"ip saddr == {NET_10[0]}-{NET_10[1]}; accept",
    "-s ! 10.0.0.1 -j ACCEPT": f"ip saddr != {NET_10[0] + 1}; accept",
    "! -d 10.0.0.1/32 -j DROP": f"ip daddr != {NET_10[0] + 1}; drop",
    "-s 10.0.0.1/255.0.0.255 -j DROP": f"(ip saddr & {0xFF0000FF}) == {NET_10[0] + 1}; drop",
    "-i eth0 -j ACCEPT": "meta iifname == eth0; accept",
    "! -i cali+ -j ACCEPT": "meta iifname != cali-cali\U0010ffff; accept",
    "-i + -j ACCEPT": "accept",
    "-p tcp --dport 22 -j ACCEPT": "meta l4proto == 6; tcp dport == 22; accept",
    "-p tcp -m tcp ! --dport 1000:2000 -j DROP": "meta l4proto == 6; tcp dport != 1000-2000; drop",
    "-p tcp -m tcp --dport :1023 -j DROP": "meta l4proto == 6; tcp dport == 0-1023; drop",
    "! -p udp -j DROP": "meta l4proto != 17; drop",
    "-p all -j DROP": "drop",
    "-p 47 -j DROP": "meta l4proto == 47; drop",
    "-p tcp --syn -j DROP": "meta l4proto == 6; (tcp flags & 23) == 2; drop",
    "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP": "meta l4proto == 6; (tcp flags & 23) != 2; drop",
    "-p tcp -m tcp --tcp-flags ALL NONE -j DROP": "meta l4proto == 6; (tcp flags & 63) == 0; drop",
    "-p icmp -m icmp --icmp-type 8 -j ACCEPT": "meta l4proto == 1; icmp type == 8; accept",
    "-p icmp --icmp-type echo-request -j ACCEPT": "meta l4proto == 1; icmp type == 8; accept",
    "-p icmp -m icmp --icmp-type 3/4 -j ACCEPT": "meta l4proto == 1; icmp type . icmp code == (3, 4); accept",
    "-p icmp -m icmp --icmp-type any -j ACCEPT": "meta l4proto == 1; accept",
    "-p tcp -m multiport --dports 22,8000:8099 -j ACCEPT": "meta l4proto == 6; th dport == {2}; accept",
    "-p udp -m multiport ! --ports 53 -j DROP": "meta l4proto == 17; th sport != 53; th dport != 53; drop",
    "-m state --state RELATED,ESTABLISHED -j ACCEPT": "ct state in 6; accept",
    "-m conntrack ! --ctstate NEW,INVALID -j ACCEPT": "ct state ! 9; accept",
    "-m conntrack --ctstate DNAT -j ACCEPT": "ct status in 32; accept",
    "-m conntrack ! --ctstate ESTABLISHED,RELATED,DNAT -j DROP": (
        "ct state ! 6; (ct status ! 32 | ct state in 65); drop"
    ),
    "-m conntrack --ctdir REPLY -j ACCEPT": "ct direction == 1; accept",
    "-m conntrack --ctorigdst 10.0.0.1 --ctorigdstport 80 -j ACCEPT": (
        f"ct original ip daddr == {NET_10[0] + 1}; ct original proto-dst == 80; accept"
    ),
    "-m mark --mark 0x4000/0x4000 -j RETURN": "(meta mark & 16384) == 16384; return",
    "-m mark ! --mark 1 -j RETURN": "meta mark != 1; return",
    "-m connmark --mark 0x1 -j ACCEPT": "ct mark == 1; accept",
    "-m addrtype --dst-type LOCAL -j USER": "fib daddr type == 2; jump USER",
    "-m addrtype ! --src-type LOCAL,BROADCAST -g USER": "fib saddr type != {2}; goto USER",
    "-m iprange --src-range 10.0.0.0-10.255.255.255 -j DROP": f"ip saddr == {NET_10[0]}-{NET_10[1]}; drop",
    "-m set --match-set nets src -j DROP": "ip saddr == @nets; drop",
    "-m set ! --match-set pairs dst,dst -j DROP": "ip daddr . meta l4proto . th dport != @pairs; drop",
    "-m set --match-set ports dst -j DROP": "meta l4proto == {2}; th dport == @ports; drop",
    "-m set --match-set links src,src -j DROP": "ip saddr . meta iifname == @links; drop",
    "-m set --match-set nowhere src -j DROP": "?set-content; drop",
    "-m set --match-set macs src -j DROP": "?set-content; drop",
    "-m set --match-set nets src --return-nomatch -j DROP": "ip saddr == @nets; ?set-content; drop",
    "-m limit --limit 5/min -j ACCEPT": "?rate likely; accept",
    "-m connlimit --connlimit-above 3 -j DROP": "?rate unlikely; drop",
    "-m hashlimit --hashlimit-above 5/sec --hashlimit-name x -j DROP": "?rate unlikely; drop",
    "-m recent --set --name ssh --rsource -j USER": "jump USER",
    "-m recent --update --seconds 60 --hitcount 4 --name ssh -j DROP": "?rate unlikely; drop",
    "-m statistic --mode random --probability 0.5 -j USER": "?random; jump USER",
    "-m time --timestart 08:00 -j DROP": "?time; drop",
    "-m string --string abc --algo bm -j DROP": "?payload unlikely; drop",
    "-m owner --uid-owner 0 -j DROP": "?local-identity; drop",
    "-m physdev --physdev-in eth0 -j DROP": "?link; drop",
    "-m rpfilter --invert -j DROP": "fib saddr iif oif == ; drop",
    "-m ndpi --proto x -j DROP": "?unknown-module; drop",
    "-m tcp --dport ssh -j DROP": "?unknown-module; drop",
    "-s x.x.x.x/32 -j DROP": "?unknown-module; drop",
    "-p tcp -m tcp --new-option 3 -j DROP": "meta l4proto == 6; ?unknown-module; drop",
    '-m comment --comment "-j ACCEPT \\"quoted\\"" -j DROP': "drop",
    "-m comment --comment bare": "",
    "-f -j DROP": "1 == 0; drop",
    "! -f -j DROP": "drop",
    "-j REJECT": "reject icmp-port-unreachable",
    "-j REJECT --reject-with icmp-proto-unreachable": "reject icmp-prot-unreachable",
    "-p tcp -j REJECT --reject-with tcp-reset": "meta l4proto == 6; reject tcp-reset",
    "-j REJECT --reject-with something-new": "reject ",
    "-j LOG --log-prefix \"-j ACCEPT \" --log-level 4": "",
    "-j MARK --set-xmark 0x4000/0x4000": "meta mark = ((meta mark & 4294950911) ^ 16384)",
    "-j MARK --set-xmark 0x1/0xffffffff": "meta mark = 1",
    "-j MARK --set-mark 0x1/0x2": "meta mark = ((meta mark & 4294967292) | 1)",
    "-j MARK --or-mark 0x4": "meta mark = (meta mark | 4)",
    "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xf0": (
        "meta mark = ((meta mark & 4294967040) ^ (ct mark & 240))"
    ),
    "-j CONNMARK --save-mark": "ct mark = meta mark",
    "-j CT --notrack": "notrack",
    "-j CT --zone 5": "",
    "-j SET --add-set nets src": "add @nets ip saddr",
    "-j NFQUEUE --queue-num 0": "opaque userspace",
    "-j CALI-NEW-THING": "opaque unknown-module",
    "-c 12 34 -j ACCEPT": "accept",
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_line_says_in_nfts_words_what_it_says(line: str) -> None:
    (rule,) = rules_of(line)
    assert "; ".join(map(shown, rule.statements)) == LINES[line]
    assert rule.text == f"-A INPUT {line}"


IN_NAT = {
    "-j DNAT --to-destination 10.0.0.1": f"dnat {NET_10[0] + 1}",
    "-j DNAT --to-destination 10.0.0.1-10.0.0.9:8080-8090 --random": f"dnat {NET_10[0] + 1}-{NET_10[0] + 9} 8080-8090",
    "-j DNAT --to-destination :8080": "dnat 8080",
    "-j REDIRECT --to-ports 3128": "redirect 3128",
    "-j NETMAP --to 10.0.0.0/8": f"dnat {NET_10[0]}-{NET_10[1]} netmap",
    "-j DNAT --to-destination 10.0.0.1:80-90/85": "opaque unknown-module",
    "-j DNAT --to-destination 10.0.0.1 --to-destination 10.0.0.2": "opaque unknown-module",
}


@pytest.mark.parametrize("line", IN_NAT)
def test_translation_of_addresses(line: str) -> None:
    (rule,) = rules_of(line, table="nat", chain="PREROUTING")
    assert "; ".join(map(shown, rule.statements)) == IN_NAT[line]


def test_translation_in_ipv6_and_behind_the_host() -> None:
    (dnat,) = rules_of("-j DNAT --to-destination [fd00::1]:80", table="nat", chain="OUTPUT", family="ip6")
    assert "; ".join(map(shown, dnat.statements)) == f"dnat {int(ip_address('fd00::1'))} 80"
    (snat,) = rules_of("-j SNAT --to-source fd00::1", table="nat", chain="POSTROUTING", family="ip6")
    assert "; ".join(map(shown, snat.statements)) == f"snat {int(ip_address('fd00::1'))}"
    (masquerade,) = rules_of("-j MASQUERADE --to-ports 1024-65535", table="nat", chain="POSTROUTING")
    assert "; ".join(map(shown, masquerade.statements)) == "masquerade 1024-65535"
    (rejected,) = rules_of("-j REJECT --reject-with icmp6-adm-prohibited", family="ip6")
    assert "; ".join(map(shown, rejected.statements)) == "reject icmpv6-admin-prohibited"
    (plain,) = rules_of("-j REJECT", family="ip6")
    assert "; ".join(map(shown, plain.statements)) == "reject icmpv6-port-unreachable"


def test_a_match_that_holds_in_two_ways() -> None:
    (states,) = rules_of("-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT")
    assert "; ".join(map(shown, states.statements)) == "(ct state in 6 | ct status in 32); accept"
    (ports,) = rules_of("-p tcp -m multiport --ports 53 -j ACCEPT")
    assert "; ".join(map(shown, ports.statements)) == "meta l4proto == 6; (th sport == 53 | th dport == 53); accept"


def test_counters_chains_and_policies_are_kept() -> None:
    text = (
        "# Generated by ip6tables-save v1.8.9 (nf_tables) on Mon\n*filter\n"
        ":INPUT DROP [5:300]\n:KUBE-FIREWALL - [0:0]\n"
        "[7:420] -A INPUT -j KUBE-FIREWALL\n-A KUBE-FIREWALL -j DROP\nCOMMIT\n*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"
    )
    dump = iptables.parse(text)
    assert (dump.family, dump.origin, dump.doubts, dump.notes) == ("ip6", "iptables-save", (), ())
    filters, nat = dump.tables
    entry = filters.chains["INPUT"]
    assert (entry.hook, entry.priority, entry.policy, entry.type) == ("input", 0, "drop", "filter")
    assert entry.rules[0].counter == (7, 420)
    assert (filters.chains["KUBE-FIREWALL"].hook, nat.chains["POSTROUTING"].priority) == ("", 100)
    assert nat.chains["POSTROUTING"].type == "nat"


def test_a_dump_of_the_legacy_backend_is_told_apart() -> None:
    dump = iptables.parse("# Generated by iptables-save v1.8.9 on Mon\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")
    assert dump.origin == "iptables-legacy-save"
    warned = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n# Warning: iptables-legacy tables present, use ... to see them\n"
    assert iptables.parse(warned).legacy_elsewhere


def test_what_iptables_prints_with_dash_s_is_read_too() -> None:
    dump = iptables.parse("-P INPUT DROP\n-N USER\n-A INPUT -j USER\n-A USER -p tcp -m tcp --dport 22 -j ACCEPT\n")
    assert dump.tables[0].chains["INPUT"].policy == "drop"
    assert shown(dump.tables[0].chains["INPUT"].rules[0].statements[0]) == "jump USER"


BROKEN = {
    "cut off": ("*filter\n:INPUT DROP [0:0]\n-A INPUT -j ACC", "cut off"),
    "wrapped by a paste": (
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp\n --dport 22 -j ACCEPT\nCOMMIT\n",
        "line 4: --dport 22 -j ACCEPT",
    ),
    "nothing": ("hello\n", "no table"),
    "an insertion, which no save has": ("*filter\n:INPUT DROP [0:0]\n-I INPUT -j ACCEPT\nCOMMIT\n", "line 3"),
    "a table that is not said": ("-P PREROUTING ACCEPT\n-A PREROUTING -j DROP\n", "chain PREROUTING"),
    "a line of another tool": ("*filter\n:INPUT DROP [0:0]\nChain INPUT (policy ACCEPT)\nCOMMIT\n", "line 3"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_makes_the_whole_doubtful(name: str) -> None:
    text, said = BROKEN[name]
    dump = iptables.parse(text)
    assert any(said in doubt.text and doubt.kind is Doubt.MISSING for doubt in dump.doubts)


def test_a_pasted_prompt_is_said_and_does_no_harm() -> None:
    dump = iptables.parse("root@n1:~# iptables-save\n*filter\n:INPUT DROP [0:0]\nCOMMIT\nroot@n1:~#\n")
    assert dump.doubts == ()
    assert sum("not part of a dump" in note for note in dump.notes) == 2


def test_an_unbalanced_quote_leaves_the_rule_open() -> None:
    (rule,) = rules_of('-m comment --comment "never ends -j ACCEPT')
    assert [shown(each) for each in rule.statements] == ["opaque unknown-module"]


def test_hostile_text_is_printable_when_it_comes_in() -> None:
    (rule,) = rules_of("-m comment --comment \x1b]0;x\x07 -j DROP")
    assert "\x1b" not in rule.text


def test_in_a_set_of_nets_the_longest_prefix_decides() -> None:
    elements = SETS.named["nets"].elements
    found = {host: elements.find(int(ip_address(host))) for host in ("10.0.0.1", "10.1.0.1", "10.1.2.3", "11.0.0.1")}
    assert found == {"10.0.0.1": True, "10.1.0.1": None, "10.1.2.3": True, "11.0.0.1": None}


def test_sets_of_several_dimensions_and_of_sets() -> None:
    pairs, links = SETS.named["pairs"].elements, SETS.named["links"].elements
    assert pairs.find((int(ip_address("10.0.0.1")), 17, 53))
    assert pairs.find((int(ip_address("10.0.0.1")), 6, 53)) is None
    assert pairs.find((int(ip_address("10.0.0.2")), 6, 80))
    assert links.find((int(ip_address("10.9.9.9")), "eth0"))
    assert links.find((int(ip_address("10.9.9.9")), "eth1")) is None
    assert SETS.named["all"].elements.find(int(ip_address("fe80::1")))
    assert [SETS.named["ports"].elements.find(port) for port in (21, 22, 25, 26)] == [None, True, True, None]


def test_an_element_that_cant_be_read_makes_its_set_incomplete() -> None:
    sets = ipset.parse("create a hash:ip family inet\nadd a 10.0.0.1\nadd a host.example\n")
    assert sets.named["a"].elements.complete is False
    assert SETS.named["nets"].elements.complete


PIECES = st.sampled_from(
    (
        "*filter|:INPUT ACCEPT [0:0]|-A INPUT|-A|!|-m|set|--match-set|-j|DNAT|--to-destination|1.2.3.4:"
        '|[::1|COMMIT|#|\n|"|-s|1.2.3.4/33|--ctstate|,|conntrack|-c|1|create a hash:ip,port|add a 1.2.3.4,tcp:x|MARK|'
        "-p|tcp|--dport|22:|--set-xmark|0xzz/|--tcp-flags|ALL|\x00"
    ).split("|")
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=60))
def test_no_text_makes_a_parser_raise(pieces: list[str]) -> None:
    text = " ".join(pieces)
    sets = ipset.parse(text)
    dump = iptables.parse(text, sets=sets)
    for table in dump.tables:
        for chain in table.chains.values():
            for rule in chain.rules:
                assert "\x00" not in rule.text
    iptables.is_dump(text)
    ipset.is_dump(text)


def nft(*sources: object) -> Ruleset:
    rules = tuple(
        Rule(index=index, handle=index + 10, statements=(Opaque(kind=Doubt.MODULE, text="xt"),), source=source)
        for index, source in enumerate(sources)
    )
    chain = Chain(name="INPUT", rules=rules, type="filter", hook="input")
    table = Table(family="ip", name="filter", chains={"INPUT": chain}, sets={})
    return Ruleset(tables=(table,), families=frozenset({"ip"}))


NATIVE = [{"match": {}}, {"accept": None}]
LOSSY = [{"xt": {"type": "target", "name": "REJECT"}}]
HEAD = "# Generated by iptables-save v1.8.9 (nf_tables) on Mon\n*filter\n:INPUT ACCEPT [0:0]\n"


def test_each_rule_is_taken_from_the_tool_that_shows_it_whole() -> None:
    dump = iptables.parse(HEAD + "-A INPUT -p tcp\n[3:4] -A INPUT -j REJECT\nCOMMIT\n")
    merged = merge(nft(NATIVE, LOSSY), [dump])
    first, second = merged.tables[0].chains["INPUT"].rules
    assert first.source == NATIVE
    assert (shown(second.statements[0]), second.handle, second.counter) == ("reject icmp-port-unreachable", 11, (3, 4))
    assert merged.notes == ()


def test_where_the_two_views_differ_in_number_what_nft_cant_show_stays_unknown() -> None:
    dump = iptables.parse(HEAD + "-A INPUT -j REJECT\nCOMMIT\n")
    merged = merge(nft(NATIVE, LOSSY), [dump])
    assert shown(merged.tables[0].chains["INPUT"].rules[1].statements[0]) == "opaque unknown-module"
    assert "2 rules in nft, 1 in iptables-save" in merged.notes[0]


def test_rules_of_the_legacy_backend_stand_beside_and_are_missed_where_they_are_not_given() -> None:
    legacy = iptables.parse("# Generated by iptables-save v1.8.9 on Mon\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n")
    warned = iptables.parse(HEAD + "COMMIT\n# Warning: iptables-legacy tables present, use iptables-legacy-save\n")
    both = merge(nft(), [warned, legacy])
    assert [table.origin for table in both.tables] == ["nft", "iptables-legacy-save"]
    assert both.doubts == ()
    assert "iptables-legacy were not given" in merge(nft(), [warned]).doubts[0].text


def test_iptables_alone_says_what_it_cant_show() -> None:
    merged = merge(None, [iptables.parse(HEAD + "COMMIT\n")])
    assert merged.families == {"ip"}
    assert any("tables that nft made itself" in note for note in merged.notes)
