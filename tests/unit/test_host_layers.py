"""Hosts' rules as layers: who denies and how, alternatives, listeners, and rules that are policies over again."""

from __future__ import annotations

import json
from time import time

from msgspec.structs import replace

from kubeshield_tui.evidence.engine_rules import without_engine
from kubeshield_tui.judgement.chain import Chain, depth_of, imagine
from kubeshield_tui.judgement.comparison import Expected, Seen
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.endpoint import Endpoint, PodRef
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Layer, Verdict
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from tests.unit import host_readings
from tests.unit.host_readings import ACCEPT, DROP, at_address, gathered, nft, port, saved
from tests.unit.test_ways import API, JUMP, N1, N2, SHOP, WEB, estate, node_over_ssh

REJECT = {"reject": {"type": "icmp", "expr": "admin-prohibited"}}


def read(store: Store, name: str, host: str, **items: str | None) -> None:
    for source in host_readings.sources(vantage=name, host=host, at=time(), **items):
        store.apply(happened.SourceCollected(at=time(), source=source))


def chain(store: Store, target: Endpoint, source: Vantage, *, exact: bool = False) -> Chain:
    chains = Chains(store, Worlds(store), Firewalls(store), Settings())
    key = CellKey(target.id, source.id)
    return chains.exactly(key) if exact else chains.of(key)


def layer(found: Chain, name: str) -> Layer:
    (one,) = [each for each in found.layers if each.layer == name]
    return one


def of_node(*rules: object, hook: str = "input") -> Chain:
    store = estate(JUMP, node_over_ssh("n1", N1))
    read(store, "ssh:jump", "jump", **at_address("203.0.113.4"))
    read(store, "node:n1", "n1", nft=nft(*rules, hook=hook))
    return chain(store, API, JUMP)


def test_a_rule_of_the_target_s_host_decides_and_is_named() -> None:
    found = of_node([port(10250), DROP])
    node = layer(found, "node-firewall")
    assert (node.verdict, node.how, node.domain, node.place) == (Predicted.DENY, "drop", "firewall of n1", "n1")
    assert node.refs == ("host:n1", "rule:n1/inet/t/input/2")
    assert "rule 1 (handle 2)" in node.decider
    assert found.prediction.layer == "node-firewall"
    assert found.expected(Seen.SILENCE) is Expected.DROP
    assert found.rejecters >= {N1}
    assert layer(found, "vantage-egress").verdict is Predicted.ALLOW


def test_rules_that_were_read_before_a_row_came_decide_nothing_about_it() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1))
    read(store, "node:n1", "n1", nft=nft([port(10250), DROP]))
    store.apply(happened.EndpointFound(at=time() + 20.0, endpoint=API))
    assert layer(chain(store, API, JUMP), "node-firewall").verdict is Predicted.DENY  # it was there
    store.apply(happened.EndpointGone(at=time(), endpoint=API.id))
    store.apply(happened.EndpointFound(at=time() + 40.0, endpoint=API))
    node = layer(chain(store, API, JUMP), "node-firewall")
    assert node.verdict is Predicted.UNKNOWN
    assert node.missing == "rules of n1 were read before this was there"
    assert "deny, inet t input rule 1" in node.decider


def test_how_it_refuses_is_what_is_expected() -> None:
    assert of_node([port(10250), REJECT]).expected(Seen.REJECTED) is Expected.REJECT_ICMP
    reset = {"reject": {"type": "tcp reset"}}
    assert of_node([port(10250), reset]).expected(Seen.REFUSED) is Expected.REJECT_RESET


def test_with_every_host_read_the_rules_say_allow_and_the_host_says_who_listens() -> None:
    found = of_node([port(22), DROP])
    assert found.prediction.verdict is Predicted.ALLOW
    assert (found.listener, found.listener_text) == (True, "kubelet on 10.0.0.11:10250/tcp")


def test_a_flushed_host_in_the_model_lets_the_visitor_through() -> None:
    found = of_node([port(10250), DROP])
    told = imagine(found.layers, Verdict.BLOCKED, frozenset({"host:n1"}))
    assert (told.opens, told.depth.least) == (True, 0)
    one = imagine(found.layers, Verdict.BLOCKED, frozenset({"rule:n1/inet/t/input/2"}))
    assert one.opens is None  # what decides without that rule was not worked out


def test_the_rule_that_nearly_decided_is_told_of_one_cell() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1))
    read(store, "ssh:jump", "jump", **at_address("203.0.113.4"))
    read(store, "node:n1", "n1", nft=nft([port(10251), DROP], [port(10250), ACCEPT], policy="drop"))
    assert layer(chain(store, API, JUMP), "node-firewall").near_miss == ""
    assert "10251" in layer(chain(store, API, JUMP, exact=True), "node-firewall").near_miss


def test_backends_are_alternatives_of_which_all_must_deny() -> None:
    def told(*nodes: str) -> Layer:
        own = replace(SHOP, facts=replace(SHOP.facts, node="n3")) if SHOP.facts else SHOP
        store = estate(own, node_over_ssh("n1", N1), node_over_ssh("n2", N2))
        for name, address in (("n1", N1), ("n2", N2)):
            rules = nft([DROP], hook="forward") if name in nodes else host_readings.NO_RULES
            read(store, f"node:{name}", name, nft=rules, **at_address(address))
        return layer(chain(store, WEB, own), "node-firewall")

    assert told("n1", "n2").verdict is Predicted.DENY
    assert told().verdict is Predicted.ALLOW
    one = told("n1")
    assert one.verdict is Predicted.UNKNOWN
    assert "it depends on which backend answers" in one.decider
    assert set(one.refs) >= {"host:n1", "host:n2"}


def test_a_backend_on_the_visitors_own_node_is_no_further_wall() -> None:
    own = replace(WEB, backends=(PodRef(namespace="shop", name="web-1"), PodRef(namespace="shop", name="web-0")))
    store = estate(SHOP, node_over_ssh("n2", N2), endpoints=(own,))
    read(store, "node:n2", "n2", nft=nft([DROP], hook="forward"), **at_address(N2))
    assert layer(chain(store, own, SHOP), "node-firewall").verdict is Predicted.UNKNOWN


# --- rules of a policy engine

TABLE = "kube-network-policies"


def engine_table(name: str) -> str:
    told = json.loads(nft([DROP], hook="forward"))
    for item in told["nftables"][1:]:
        (kind, body), *_ = item.items()
        body["name" if kind == "table" else "table"] = name
    return json.dumps(told)


def test_a_policy_engines_own_table_is_left_out_and_others_are_not() -> None:
    whole = gathered(nft=engine_table(TABLE))
    assert "drop" in whole.text("nft")
    assert '"drop"' not in without_engine(whole).text("nft")
    assert without_engine(whole) is without_engine(whole)  # parsed once, however often the ways change
    other = gathered(nft=engine_table("filter"))
    assert without_engine(other) is other


def test_a_policy_engines_chains_and_what_leads_to_them_are_left_out() -> None:
    rules = (
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A FORWARD -m comment --comment cali:x -j cali-FORWARD",
        "-A cali-FORWARD -j DROP",
    )
    text = saved(*rules).replace(":OUTPUT", ":cali-FORWARD - [0:0]\n:OUTPUT")
    whole = gathered(iptables=text)
    bare = without_engine(whole).text("iptables")
    assert "cali-FORWARD" not in bare
    assert rules[0] in bare
    assert ":FORWARD ACCEPT" in bare
    nat = gathered(iptables=saved("-A POSTROUTING -j cali-POSTROUTING", table="nat"))
    assert without_engine(nat) is nat  # translations stay


def test_a_listing_that_can_not_be_read_stays_as_it_is() -> None:
    for text in (TABLE, f'["{TABLE}"]', f'{{"nftables": [5, "{TABLE}"]}}', f'{{"nftables": [{{}}, "{TABLE}"]}}'):
        whole = gathered(nft=text)
        assert without_engine(whole) is whole


def test_what_an_engine_drops_counts_once() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1))
    read(store, "ssh:jump", "jump", **at_address("203.0.113.4"))
    told = json.loads(nft([port(10250), DROP]))
    for item in told["nftables"][1:]:
        (kind, body), *_ = item.items()
        body["name" if kind == "table" else "table"] = TABLE
    read(store, "node:n1", "n1", nft=json.dumps(told))
    assert layer(chain(store, API, JUMP), "node-firewall").verdict is Predicted.ALLOW


def test_what_refuses_only_because_nothing_is_behind_decides_and_is_no_wall() -> None:
    def told(comment: str, chain_name: str = "KUBE-SERVICES") -> Layer:
        store = estate(JUMP, node_over_ssh("n1", N1))
        rule = f'-A {chain_name} -p tcp -m comment --comment "{comment}" -m tcp --dport 10250 -j REJECT'
        rules = saved(f":{chain_name} - [0:0]", f"-A INPUT -j {chain_name}", rule)
        read(store, "node:n1", "n1", iptables=rules)
        return layer(chain(store, API, JUMP), "node-firewall")

    vacant = told("shop/api:http has no endpoints")
    assert (vacant.verdict, vacant.how, vacant.defends) == (Predicted.DENY, "reject", False)
    assert "has no endpoints" in vacant.decider
    assert depth_of((vacant,), Verdict.UNPROVEN).least == 0
    assert told("shop/api:http has no local endpoints").defends is False
    for wall in (told("admins only"), told("shop/api has no endpoints", "MINE")):
        assert (wall.verdict, wall.defends) == (Predicted.DENY, True)
        assert depth_of((wall,), Verdict.UNPROVEN).least == 1
