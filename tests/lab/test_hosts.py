"""What the product reads of a host over a real shell predicts what plain sockets meet there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from kubeshield_tui.evidence.hosts import How, firewall_layer, visit_of
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.model.evidence import SourceStatus
from kubeshield_tui.model.prediction import Predicted
from tests.lab import walls
from tests.lab.netns import ROUTER4, SERVER4, SERVER6, Lab

pytestmark = pytest.mark.netns
TABLE = (
    ("tcp", SERVER4, 8001, "open"),
    ("tcp", SERVER4, 8002, "drop"),
    ("tcp", SERVER4, 8003, "refused"),
    ("tcp", SERVER4, 8004, "icmp 3/13"),
    ("tcp", SERVER4, 8005, "drop"),
    ("tcp", SERVER4, 8006, "drop"),
    ("tcp", SERVER4, 8007, "drop"),
    ("tcp", SERVER4, 8008, "drop"),
    ("tcp", SERVER4, 8009, "drop"),
    ("tcp", SERVER4, 8010, "open"),
    ("tcp", SERVER4, 8011, "icmp 3/10"),
    ("tcp", SERVER4, 8013, "late"),
    ("tcp", SERVER4, 8099, "refused"),
    ("udp", SERVER4, 7001, "open"),
    ("udp", SERVER4, 7002, "drop"),
    ("tcp", ROUTER4, 9000, "open"),
    ("tcp", ROUTER4, 9001, "open"),
    ("tcp", ROUTER4, 9099, "refused"),
    ("tcp", SERVER6, 8001, "open"),
    ("tcp", SERVER6, 8002, "drop"),
    ("tcp", SERVER6, 8003, "refused"),
    ("tcp", SERVER6, 8004, "icmp 1/1"),
    ("tcp", SERVER6, 8005, "open"),
    ("tcp", SERVER6, 8006, "open"),
    ("tcp", SERVER6, 8007, "open"),
    ("tcp", SERVER6, 8008, "drop"),
    ("tcp", SERVER6, 8009, "drop"),
    ("tcp", SERVER6, 8013, "late"),
)
"""What sockets must meet: the rules above were written so."""


@pytest.fixture(scope="module")
def world(network: Lab) -> Iterator[Lab]:
    with walls.walls(network) as made:
        yield made


@pytest.fixture(scope="module")
def hosts(world: Lab) -> dict[str, Gathered]:
    return {host: asyncio.run(walls.read(world, host)) for host in walls.HOSTS}


def test_predictions_are_what_sockets_meet(world: Lab, hosts: dict[str, Gathered]) -> None:
    questions = [(kind, target, port) for kind, target, port, _ in TABLE]
    met = walls.ask(world, questions)
    predicted = [walls.expected(hosts, *question) for question in questions]
    wanted = [answer for *_, answer in TABLE]
    assert dict(zip(questions, met, strict=True)) == dict(zip(questions, wanted, strict=True))
    assert dict(zip(questions, predicted, strict=True)) == dict(zip(questions, wanted, strict=True))


def test_deciders_name_the_rule_in_the_backend_that_has_it(hosts: dict[str, Gathered]) -> None:
    for target, port, host, words in (
        (SERVER4, 8002, "router", "inet wall forward rule 2 (handle"),
        (SERVER4, 8006, "router", "-A FORWARD -p tcp -m tcp --dport 8006 -m conntrack --ctstate NEW -j DROP"),
        (SERVER4, 8011, "router", "--match-set closed dst,dst"),
        (SERVER4, 8007, "server", "ip filter INPUT rule 1: -A INPUT -p tcp -m tcp --dport 8007 -j DROP"),
        (SERVER4, 8009, "client", "inet own output rule 1"),
    ):
        layer = walls.layers(hosts, "tcp", target, port)[-1]
        assert (layer.host, layer.verdict) == (host, Predicted.DENY)
        assert words in layer.decider


def test_one_of_two_backends_is_drawn_and_both_are_followed(hosts: dict[str, Gathered]) -> None:
    router = hosts["router"]
    visit = visit_of(walls.CLIENT4, ROUTER4, 9001)
    assert visit is not None
    layer = firewall_layer(router, visit, router.at)
    assert layer.verdict is Predicted.ALLOW
    assert {(each.target, each.port) for each in layer.onward} == {(SERVER4, 8001), (SERVER4, 8010)}


def test_a_route_that_prohibits_is_no_rule(world: Lab, hosts: dict[str, Gathered]) -> None:
    client = hosts["client"]
    visit = visit_of(walls.CLIENT4, "198.51.100.99", 80, begins_here=True)
    assert visit is not None
    layer = firewall_layer(client, visit, client.at)
    assert (layer.verdict, layer.how, layer.answer) == (Predicted.DENY, How.NO_ROUTE, "")
    assert "prohibit" in layer.decider
    assert walls.ask(world, [("tcp", "198.51.100.99", 80)]) == ["errno EACCES"]


def test_a_backend_that_was_not_read_leaves_nothing_decided(hosts: dict[str, Gathered]) -> None:
    whole = hosts["server"]
    assert whole.sources["iptables-legacy"].status is SourceStatus.OK
    visit = visit_of(walls.CLIENT4, SERVER4, 8007)
    assert visit is not None
    for lost in ("iptables-legacy", "nft"):
        less = Gathered(tuple(source for item, source in whole.sources.items() if item != lost))
        layer = firewall_layer(less, visit, less.at)
        assert layer.verdict is Predicted.UNKNOWN
        assert f"{lost}: not asked for" in layer.decider


def test_listeners_are_those_that_are_there(hosts: dict[str, Gathered]) -> None:
    server = hosts["server"]
    assert server.listeners is not None
    found = {each.port for each in server.listeners if each.protocol == "tcp" and not each.address}
    assert set(walls.OPEN) <= found
    assert any(each.process.startswith("python") for each in server.listeners)
