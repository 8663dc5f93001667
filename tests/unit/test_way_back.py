"""A host that hands a visitor on and keeps his source: whether the answer comes back through it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Layer
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from tests.unit.estate import vantage
from tests.unit.host_readings import ROUTES, at_address, saved
from tests.unit.test_host_layers import read
from tests.unit.test_ways import JUMP, N1, N2, NODE_PORT, estate, node_over_ssh

ENTRY = replace(NODE_PORT, host=N2)
"""A node port of n2, whose rules hand it on to a pod of n1."""
CLIENT = vantage("pod:shop/client", node="n1", addresses=("10.244.1.9",), cluster="prod")
DNAT = "-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.1.7:8080"
MASQUERADE = f"-A POSTROUTING -j SNAT --to-source {N2}"


def of_n2(source: Vantage, *rules: str, routes_of_n1: str | None = ROUTES) -> Layer:
    """What n2's layer says. `routes_of_n1`: None for a host that nobody read."""
    store = estate(source, node_over_ssh("n1", N1), node_over_ssh("n2", N2), endpoints=(ENTRY,))
    read(store, "node:n2", "n2", iptables=saved(*rules, table="nat"), **at_address(N2))
    if routes_of_n1 is not None:
        read(store, "node:n1", "n1", routes=routes_of_n1)
    chains = Chains(store, Worlds(store), Firewalls(store), Settings())
    layers = chains.exactly(CellKey(ENTRY.id, source.id)).layers
    (found,) = [layer for layer in layers if layer.layer == "node-firewall" and layer.place == "n2"]
    return found


def test_an_answer_that_never_leaves_the_visitors_own_host_is_not_translated_back() -> None:
    found = of_n2(CLIENT, DNAT)
    assert (found.verdict, found.how) == (Predicted.DENY, "drop")
    assert found.decider == "n2 hands it on to n1 and keeps its source: the answer goes past n2"


def test_whose_source_is_replaced_hears_the_answer() -> None:
    assert of_n2(CLIENT, DNAT, MASQUERADE).verdict is Predicted.ALLOW


@pytest.mark.parametrize("routes", [None, ROUTES])
def test_where_the_way_back_is_not_known_nothing_is(routes: str | None) -> None:
    found = of_n2(JUMP, DNAT, routes_of_n1=routes)
    assert found.verdict is Predicted.UNKNOWN
    assert "whether the answer comes back from n1 through n2, which translated it, is not known" in found.decider


def test_an_answer_comes_back_through_the_host_that_is_the_way_back() -> None:
    routes = ROUTES.replace('"gateway": "10.0.0.1"', f'"gateway": "{N2}"')
    assert of_n2(JUMP, DNAT, routes_of_n1=routes).verdict is Predicted.ALLOW


def test_a_pod_of_the_host_itself_answers_through_it() -> None:
    own = "-A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.2.7:8080"
    assert of_n2(JUMP, own).verdict is Predicted.ALLOW
