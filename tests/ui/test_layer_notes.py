"""What the page says beside a host's own verdict: why the layer is another, and what is no wall."""

from __future__ import annotations

from time import time

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.page.layers import NO_WALL, RULES_ALONE, WITH_ENGINE, layers
from kubeshield_tui.ui.page.view import CellView
from tests.unit.host_readings import at_address, saved
from tests.unit.test_host_layers import read
from tests.unit.test_way_back import CLIENT, DNAT, ENTRY
from tests.unit.test_ways import API, JUMP, N1, N2, estate, node_over_ssh


def page(store: Store, key: CellKey) -> str:
    firewalls, worlds = Firewalls(store), Worlds(store)
    exact = Chains(store, worlds, firewalls, Settings()).exactly(key).layers
    view = CellView(store, firewalls, worlds, key, time(), 120, exact=exact)
    return "\n".join("".join(piece for piece, _ in line) for line in layers(view))


def of_node(*lines: str) -> str:
    store = estate(JUMP, node_over_ssh("n1", N1))
    read(store, "node:n1", "n1", iptables=saved(*lines))
    return page(store, CellKey(API.id, JUMP.id))


def test_what_is_no_wall_says_so() -> None:
    reject = '-A KUBE-SERVICES -p tcp -m comment --comment "{}" -m tcp --dport 10250 -j REJECT'
    own = (":KUBE-SERVICES - [0:0]", "-A INPUT -j KUBE-SERVICES")
    assert NO_WALL in of_node(*own, reject.format("shop/api has no endpoints"))
    assert NO_WALL not in of_node(*own, reject.format("admins only"))


def test_an_answer_that_goes_another_way_is_told_beside_what_the_rules_say() -> None:
    store = estate(CLIENT, node_over_ssh("n1", N1), node_over_ssh("n2", N2), endpoints=(ENTRY,))
    read(store, "node:n2", "n2", iptables=saved(DNAT, table="nat"), **at_address(N2))
    read(store, "node:n1", "n1")
    text = page(store, CellKey(ENTRY.id, CLIENT.id))
    said = "in the end DENY: n2 hands it on to n1 and keeps its source: the answer goes past n2"
    assert said in " ".join(text.split())
    assert RULES_ALONE in text
    assert WITH_ENGINE not in text


def test_what_a_policy_engine_put_there_is_told_apart() -> None:
    text = of_node(":cali-in - [0:0]", "-A INPUT -j cali-in", "-A cali-in -p tcp -m tcp --dport 10250 -j DROP")
    assert "by itself" in text
    assert WITH_ENGINE in text
    assert RULES_ALONE not in text
