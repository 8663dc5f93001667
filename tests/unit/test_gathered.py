"""What was read of a host, ready to be asked: what lacks is never `accept`, what is proven empty never a doubt."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.hosts import How, Visit, firewall_layer, visit_of
from kubeshield_tui.evidence.netfilter.gathered import STALE_SECONDS, Gathered
from kubeshield_tui.model.evidence import SourceStatus
from kubeshield_tui.model.prediction import Predicted
from tests.unit import host_readings
from tests.unit.host_readings import ACCEPT, AT, DROP, NO_LEGACY, gathered, nft, port, saved

OUTSIDE = "203.0.113.9"


def visit(target: str = "10.0.0.11", number: int = 10250, *, source: str = OUTSIDE, begins_here: bool = False) -> Visit:
    made = visit_of(source, target, number, begins_here=begins_here)
    assert made is not None
    return made


def test_a_host_without_any_rule_lets_pass_and_says_so() -> None:
    layer = firewall_layer(gathered(), visit(), AT)
    assert (layer.verdict, layer.how, layer.host, layer.at) == (Predicted.ALLOW, How.PASSED, "n1", AT)
    assert layer.decider == "no chain is at its hook"
    assert layer.assumptions == ("it arrives over eth0, the host's way back to 203.0.113.9",)


@pytest.mark.parametrize("item", ["nft", "iptables_legacy"])
def test_rules_that_may_not_be_read_decide_nothing(item: str) -> None:
    layer = firewall_layer(gathered(**{item: None, "backends": None}), visit(), AT)
    assert layer.verdict is Predicted.UNKNOWN
    assert f"{item.replace('_', '-')}: denied: must be root" in layer.decider


@pytest.mark.parametrize("item", ["ipset", "iptables", "qdiscs", "bpf", "listeners", "links"])
def test_what_holds_no_rule_here_leaves_it_decided(item: str) -> None:
    layer = firewall_layer(gathered(**{item: None}), visit(), AT)
    assert layer.verdict is Predicted.ALLOW


def test_an_old_backend_that_the_kernel_does_not_have_needs_no_reading() -> None:
    told = gathered(iptables_legacy=None, ip6tables_legacy=None, backends=NO_LEGACY)
    assert firewall_layer(told, visit(), AT).verdict is Predicted.ALLOW
    assert told.unread == ()


def test_an_old_backend_with_tables_is_missed_even_where_its_tool_printed_nothing() -> None:
    told = gathered(iptables_legacy="", backends="ip_tables_names: filter nat\nip6_tables_names:")
    assert firewall_layer(told, visit(), AT).verdict is Predicted.UNKNOWN
    assert firewall_layer(told, visit("2001:db8::11", source="2001:db8:9::9"), AT).verdict is Predicted.ALLOW


def test_a_warning_of_old_tables_is_heard_where_nothing_else_tells() -> None:
    old = host_readings.sources(backends=None)
    warned = [
        source if source.item != "iptables" else type(source)(
            vantage=source.vantage, host="n1", item="iptables", tool="", status=SourceStatus.OK, text="", at=AT,
            detail="# Warning: iptables-legacy tables present, use iptables-legacy-save to see them",
        )
        for source in old
    ]  # fmt: skip
    assert firewall_layer(Gathered(warned), visit(), AT).verdict is Predicted.UNKNOWN
    assert firewall_layer(Gathered(old), visit(), AT).verdict is Predicted.ALLOW


def test_a_kernel_without_nftables_has_no_rules_of_it() -> None:
    told = gathered(nft=None, backends=f"{NO_LEGACY}\nip_rcv")
    assert firewall_layer(told, visit(), AT).verdict is Predicted.ALLOW
    both = gathered(nft=None, backends=f"{NO_LEGACY}\nip_rcv\nnf_tables_newtable")
    assert firewall_layer(both, visit(), AT).verdict is Predicted.UNKNOWN
    nothing = gathered(nft=None, backends=NO_LEGACY)
    assert firewall_layer(nothing, visit(), AT).verdict is Predicted.UNKNOWN


def test_an_old_dump_under_the_usual_name_counts_once() -> None:
    dump = saved("[7:420] -A INPUT -p tcp -m tcp --dport 10250 -j DROP", legacy=True)
    for other in (dump, None):
        told = gathered(iptables=dump, iptables_legacy=other, backends=None)
        layer = firewall_layer(told, visit(), AT)
        assert (layer.verdict, layer.how) == (Predicted.DENY, How.DROP)
        assert layer.rule is not None
        assert layer.rule.counter == (7, 420)
        assert len([table for table in told.firewall("ip").ruleset.tables if table.name == "filter"]) == 1
        assert "iptables-legacy" not in {source.item for source in told.unread}


def test_rules_of_one_family_say_nothing_of_the_other() -> None:
    told = gathered(ip6tables_legacy=None, backends=None)
    assert firewall_layer(told, visit(), AT).verdict is Predicted.ALLOW
    assert firewall_layer(told, visit("2001:db8::11", source="2001:db8:9::9"), AT).verdict is Predicted.UNKNOWN


def test_without_routes_of_a_family_nothing_is_made_up_of_them() -> None:
    told = gathered(routes6=None)
    assert told.network("ip").routes
    assert told.network("ip6").routes is None
    layer = firewall_layer(told, visit("2001:db8:7::1", source="2001:db8:9::9"), AT)
    assert layer.how is not How.NO_ROUTE


def test_without_policy_rules_the_way_is_not_known() -> None:
    told = gathered(rules=None, nft=nft([port(80), DROP], hook="forward"))
    layer = firewall_layer(told, visit("10.244.1.7", 80), AT)
    assert layer.verdict is Predicted.UNKNOWN or layer.assumptions
    assert firewall_layer(gathered(nft=nft([port(80), DROP], hook="forward")), visit("10.244.1.7", 80), AT).verdict is (
        Predicted.DENY
    )


def test_an_empty_list_of_routes_is_none_and_not_unknown() -> None:
    told = gathered(routes6="[]", rules6="[]")
    assert told.network("ip6").routes == ()
    layer = firewall_layer(told, visit("2001:db8:7::1", source="2001:db8:9::9", begins_here=True), AT)
    assert (layer.verdict, layer.how) == (Predicted.DENY, How.NO_ROUTE)


def test_old_readings_decide_nothing_and_say_what_they_said() -> None:
    told = gathered(nft=nft([port(10250), DROP]))
    assert firewall_layer(told, visit(), AT + STALE_SECONDS).verdict is Predicted.DENY
    late = firewall_layer(told, visit(), AT + STALE_SECONDS + 60)
    assert late.verdict is Predicted.UNKNOWN
    assert late.decider.startswith("read 16 min ago, more than 15: it said deny, inet t input rule 1")


@pytest.mark.parametrize(
    ("item", "text", "words"),
    [
        ("links", '[{"ifname": "eth0", "xdp": {"mode": 1, "prog": {"id": 7}}}]', "an XDP program on eth0"),
        ("links", '[{"ifname": "eth0"}, {"ifname": "cilium_host"}]', "Cilium"),
        ("qdiscs", "qdisc clsact ffff: dev eth0 parent ffff:fff1", "a tc clsact hook on eth0"),
        ("bpf", '[{"tc": [{"devname": "eth0", "name": "cali_from_hep"}]}]', "cali_from_hep of Calico in eBPF mode"),
    ],
)  # fmt: skip
def test_who_decides_before_the_rules_makes_them_unknown(item: str, text: str, words: str) -> None:
    told = gathered(nft=nft([port(10250), DROP]), **{item: text})
    layer = firewall_layer(told, visit(), AT)
    assert layer.verdict is Predicted.UNKNOWN
    assert words in layer.decider
    assert "the rules say deny, inet t input rule 1" in layer.decider


def test_a_program_where_the_translated_visitor_leaves_is_on_the_way() -> None:
    nat = saved("-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.1.7:8080", table="nat",
                legacy=True)  # fmt: skip
    told = gathered(iptables_legacy=nat, qdiscs="qdisc clsact ffff: dev cni0 parent ffff:fff1")
    assert firewall_layer(told, visit(number=30080), AT).verdict is Predicted.UNKNOWN
    assert firewall_layer(told, visit(), AT).verdict is Predicted.ALLOW


def test_who_could_not_be_looked_for_is_assumed_not_to_be_there() -> None:
    assert not any("in front" in each for each in firewall_layer(gathered(bpf=None), visit(), AT).assumptions)
    told = firewall_layer(gathered(bpf=None, qdiscs=None), visit(), AT)
    assert "no tc program is in front: neither tc nor bpftool could be asked" in told.assumptions
    assert (
        "no XDP program is in front: links were not read"
        in firewall_layer(gathered(links=None), visit(), AT).assumptions
    )


def test_a_program_on_another_device_is_not_on_the_way() -> None:
    told = gathered(qdiscs="qdisc clsact ffff: dev veth9 parent ffff:fff1\nqdisc noqueue 0: dev lo root")
    assert firewall_layer(told, visit(), AT).verdict is Predicted.ALLOW
    unknown = visit(source="")
    assert firewall_layer(told, unknown, AT).verdict is Predicted.UNKNOWN


def test_refusals_are_told_as_the_visitor_meets_them() -> None:
    reject = {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}
    for rule, hook, how, answer in (
        ([port(10250), DROP], "input", How.DROP, ""),
        ([port(10250), reject], "input", How.REJECT, "icmp-admin-prohibited"),
        ([port(10250), {"reject": {"type": "tcp reset"}}], "input", How.REJECT, "tcp-reset"),
    ):
        layer = firewall_layer(gathered(nft=nft(rule, hook=hook)), visit(), AT)
        assert (layer.verdict, layer.how, layer.answer) == (Predicted.DENY, how, answer)
    sport = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": 10250}}
    answer_rejected = firewall_layer(gathered(nft=nft([sport, reject], hook="output")), visit(), AT)
    assert (answer_rejected.how, answer_rejected.answer) == (How.DROP, "")


def test_rules_that_disagree_leave_it_unknown_with_each_way_named() -> None:
    limit = {"limit": {"rate": 5, "per": "minute", "burst": 5}}
    told = gathered(nft=nft([port(10250), limit, ACCEPT], policy="drop"))
    layer = firewall_layer(told, visit(), AT)
    assert layer.verdict is Predicted.UNKNOWN
    assert layer.rule is None
    assert "accept if" in layer.decider
    assert "drop if" in layer.decider


def test_the_visitor_goes_on_as_he_was_translated() -> None:
    nat = saved("-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.1.7:8080",
                "-A POSTROUTING -d 10.244.1.7/32 -j SNAT --to-source 10.244.1.1", table="nat")  # fmt: skip
    layer = firewall_layer(gathered(iptables_legacy=nat.replace(" (nf_tables)", "")), visit(number=30080), AT)
    assert layer.nat[0] == "10.244.1.7:8080"
    assert [(each.source, each.target, each.port, each.begins_here) for each in layer.onward] == [
        ("10.244.1.1", "10.244.1.7", 8080, False)
    ]


def test_what_a_bridge_hands_on_meets_the_rules_only_where_that_is_set() -> None:
    rules = nft([port(80), DROP], hook="forward")
    there = visit("10.244.1.7", 80, source="10.244.1.8")
    off = host_readings.SYSCTLS.replace("bridge-nf-call-iptables:1", "bridge-nf-call-iptables:0")
    unloaded = host_readings.SYSCTLS.rpartition("\n")[0]
    assert firewall_layer(gathered(nft=rules), there, AT).verdict is Predicted.DENY
    for settings in (off, unloaded):
        layer = firewall_layer(gathered(nft=rules, sysctls=settings), there, AT)
        assert layer.verdict is Predicted.ALLOW
        assert layer.decider == "bridged on cni0: bridge-nf-call-iptables is off, so no rule is asked"
    assert firewall_layer(gathered(nft=rules, sysctls=None), there, AT).verdict is Predicted.UNKNOWN
    routed = visit("10.244.1.7", 80, source="10.0.0.5")
    assert firewall_layer(gathered(nft=rules, sysctls=off), routed, AT).verdict is Predicted.DENY
    bridge = nft([DROP], hook="forward", family="bridge")
    assert firewall_layer(gathered(nft=bridge, sysctls=off), there, AT).verdict is Predicted.UNKNOWN


def test_own_traffic_begins_at_output() -> None:
    told = gathered(nft=nft([port(443), DROP], hook="output"))
    assert firewall_layer(told, visit("198.51.100.7", 443, source="10.0.0.11", begins_here=True), AT).how is How.DROP
    assert firewall_layer(told, visit(number=443), AT).verdict is Predicted.ALLOW


def test_a_visitor_comes_from_a_port_that_clients_draw() -> None:
    def sport(ports: str) -> dict[str, object]:
        match = port(ports)["match"]
        return {"match": {**match, "left": {"payload": {"protocol": "tcp", "field": "sport"}}}}  # type: ignore[dict-item]

    layer = firewall_layer(gathered(nft=nft([sport("1024-65535"), ACCEPT], policy="drop")), visit(), AT)
    assert layer.verdict is Predicted.ALLOW
    assert "it comes from an ephemeral port (50000)" in layer.assumptions


def test_asking_again_is_remembered() -> None:
    told = gathered(nft=nft([port(10250), DROP]))
    assert firewall_layer(told, visit(), AT) is firewall_layer(told, visit(), AT + 1)


def test_targets_that_are_no_addresses_make_no_visit() -> None:
    assert visit_of(OUTSIDE, "db.example", 80) is None
    other = visit_of(OUTSIDE, "2001:db8::11", 80)
    assert other is not None
    assert other.source == ""


GARBLED = (
    "", "[]", "{}", "null", "[null, 1, []]", '[{"ifname": null}]', '{"nftables": {}}', "\r\n*filter\r\n:INPUT", "-A",
    "%s[",
    '[{"ifname": "eth0", "xdp": {}, "linkinfo": [], "addr_info": 7}]', '[{"tc": [null, {"devname": []}], "xdp": 5}]',
    "tcp LISTEN 0 0 [::1]%:99999999999999999999 x", "ip_tables_names", "qdisc clsact\nqdisc ingress x dev",
    "ipv4/ip_forward",
    "create x hash:ip\nadd x \nadd y 1", "[" * 5_000, '{"nftables": [{"rule": {"expr": [{"match": 3}]}}]}',
)  # fmt: skip


@pytest.mark.parametrize("text", GARBLED)
def test_what_no_tool_would_print_raises_nothing(text: str) -> None:
    for item in host_readings.WHOLE:
        told = gathered(**{item: text})
        for target, source in (("10.0.0.11", OUTSIDE), ("10.244.1.7", "10.244.1.8"), ("2001:db8::11", "2001:db8:9::9")):
            for begins_here in (False, True):
                layer = firewall_layer(told, visit(target, 443, source=source, begins_here=begins_here), AT)
                assert layer.decider
        assert told.in_front is not None
        assert told.unread == ()
        assert told.listeners is not None
