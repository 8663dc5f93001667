"""Counters and connection tables of real hosts around a real probe: what they support, refute, and where it died."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kubeshield_tui.evidence.collect.script import COMMANDS, COUNTING, connections
from kubeshield_tui.evidence.hosts import Visit, firewall_layer, visit_of
from kubeshield_tui.evidence.netfilter.conntrack import Fate, parse_conntrack, since
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.witness import Reading, conclusion, witness_host
from kubeshield_tui.model.evidence import HostWitness, Support
from tests.lab import walls
from tests.lab.netns import ROUTER4, SERVER4, SERVER6, Lab

pytestmark = pytest.mark.netns
ON_WAY = ("router", "server")


@pytest.fixture(scope="module")
def world(network: Lab) -> Iterator[Lab]:
    with walls.walls(network) as made:
        yield made


async def _reading(world: Lab, host: str, visit: Visit, whole: Gathered) -> Reading:
    tracked = connections(visit.family, visit.protocol, visit.target, visit.port)
    told = await walls.read(world, host, {**COUNTING, "conntrack": tracked})
    kept = parse_conntrack(told.text("conntrack")) if told.has("conntrack") else None
    merged = {**whole.sources, **{item: source for item, source in told.sources.items() if item != "conntrack"}}
    return Reading(Gathered(tuple(merged.values())), kept)


async def _watch(
    world: Lab, kind: str, target: str, port: int, between: Callable[[], object] = lambda: None
) -> tuple[str, list[HostWitness]]:
    """Send one probe between two readings of router and server, as the session does."""
    source = walls.CLIENT6 if ":" in target else walls.CLIENT4
    visits: list[Visit] = []
    wholes: list[Gathered] = []
    visit = visit_of(source, target, port, kind)
    for host in ON_WAY:
        assert visit is not None
        wholes.append(await walls.read(world, host, COMMANDS))
        visits.append(visit)
        visit = firewall_layer(wholes[-1], visit, wholes[-1].at).onward[0]
    way = list(zip(ON_WAY, visits, wholes, strict=True))
    before = [await _reading(world, *each) for each in way]
    between()
    answer = walls.ask(world, [(kind, target, port)])[0]
    after = [await _reading(world, *each) for each in way]
    told = []
    for (_, each, _), old, new in zip(way, before, after, strict=True):
        told.append(witness_host(old, new, since(old.tracked or (), new.tracked or (), each.source), each, 1))
    return answer, told


async def test_a_drop_on_the_router_is_counted_and_leaves_no_entry_there(world: Lab) -> None:
    answer, (router, server) = await _watch(world, "tcp", SERVER4, 8006)
    assert answer == "drop"
    assert (router.support, router.fate, server.fate) == (Support.SUPPORTS, Fate.NOTHING, Fate.NOTHING)
    assert router.counted is not None
    assert router.counted >= 1
    assert "--dport 8006" in conclusion((router, server), is_open=False, is_reset=False)


async def test_a_drop_on_the_server_was_passed_on_by_the_router(world: Lab) -> None:
    answer, (router, server) = await _watch(world, "tcp", SERVER4, 8007)
    assert answer == "drop"
    assert (router.fate, server.fate, server.support) == (Fate.PASSED_ON, Fate.NOTHING, Support.SUPPORTS)
    said = conclusion((router, server), is_open=False, is_reset=False)
    assert said.startswith("it died on server")
    assert "--dport 8007" in said


async def test_an_answer_that_is_dropped_was_seen_by_one_host_only(world: Lab) -> None:
    answer, (router, server) = await _watch(world, "tcp", SERVER4, 8008)
    assert answer == "drop"
    assert (router.fate, server.fate, server.support) == (Fate.PASSED_ON, Fate.ANSWERED, Support.SUPPORTS)
    said = conclusion((router, server), is_open=False, is_reset=False)
    assert said.startswith("server saw an answer go back, and it died there")
    assert "sport 8008" in said


@pytest.mark.parametrize(
    ("kind", "target", "port"), [("tcp", SERVER4, 8010), ("tcp", SERVER6, 8006), ("udp", SERVER4, 7001)]
)
async def test_what_is_open_is_accepted_on_every_host(world: Lab, kind: str, target: str, port: int) -> None:
    answer, hosts = await _watch(world, kind, target, port)
    assert answer == "open"
    assert [host.fate for host in hosts] == [Fate.ACCEPTED, Fate.ACCEPTED]


async def test_a_translation_shows_as_it_really_was(world: Lab) -> None:
    answer, (router, _) = await _watch(world, "tcp", ROUTER4, 9000)
    assert answer == "open"
    to, by = router.translated
    assert to == f"{SERVER4}:8001"
    assert by.startswith("198.51.100.254")


async def test_a_reset_takes_the_entry_away_and_nothing_is_made_of_that(world: Lab) -> None:
    answer, (router, server) = await _watch(world, "tcp", SERVER4, 8099)
    assert answer == "refused"
    assert Fate.NOTHING in (router.fate, server.fate)
    assert "tells nothing" in conclusion((router, server), is_open=False, is_reset=True)


async def test_a_rule_that_came_between_refutes_the_prediction(world: Lab) -> None:
    def close_before() -> None:
        world.on("router", "nft", "-f", "-", given="table ip first {\nchain prerouting {\n"
                 "type filter hook prerouting priority -300;\ntcp dport 8006 drop\n}\n}\n")  # fmt: skip

    answer, (router, server) = await _watch(world, "tcp", SERVER4, 8006, close_before)
    world.on("router", "nft", "delete", "table", "ip", "first")
    assert answer == "drop"
    assert (router.counted, router.support) == (0, Support.REFUTES)
    assert "it died there or never came" in conclusion((router, server), is_open=False, is_reset=False)


async def test_no_entry_says_nothing_where_no_rule_has_connections_kept(world: Lab) -> None:
    visit = visit_of(walls.CLIENT4, SERVER4, 8010, begins_here=True)
    assert visit is not None
    whole = await walls.read(world, "client")
    before = await _reading(world, "client", visit, whole)
    assert walls.ask(world, [("tcp", SERVER4, 8010)]) == ["open"]
    after = await _reading(world, "client", visit, whole)
    told = witness_host(before, after, since(before.tracked or (), after.tracked or (), ""), visit, 1)
    assert told.fate == Fate.UNTRACKED
    assert conclusion((told,), is_open=False, is_reset=False) == "no host's connections could be read"
