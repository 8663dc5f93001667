"""The firewall section of a cell: what each host makes of the visitor, what is not known, and what a reading takes."""

from __future__ import annotations

from msgspec.structs import replace

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.evidence import HostWitness, RuleCount, Support, Witness
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.ui.page.layers import layers
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.page.witnesses import witnesses
from kubeshield_tui.ui.screens.cell import CellScreen
from kubeshield_tui.ui.screens.consent import ConsentScreen
from tests.ui.stage import FakeSession, app_on, ready, until
from tests.unit.estate import vantage
from tests.unit.host_readings import ACCEPT, AT, DROP, at_address, counter, nft, port
from tests.unit.test_ways import API, JUMP, N1, OUTSIDE, SHOP, collect, estate, node_over_ssh

KEY = CellKey(API.id, VantageId("ssh:jump"))
BY_POD = replace(
    vantage("node:n1", addresses=(N1,), cluster="prod"), spec=replace(vantage("node:n1").spec, namespace="default")
)


def text(store: Store, key: CellKey = KEY, *, now: float = AT + 12, raw: bool = False) -> str:
    view = CellView(store, Firewalls(store), Worlds(store), key, now, 120, raw)
    return "\n".join("".join(piece for piece, _ in line) for line in (*layers(view), *witnesses(view)))


def read_both(store: Store, **items: str | None) -> None:
    collect(store, "ssh:jump", "jump", **at_address("203.0.113.4"))
    collect(store, "node:n1", "n1", **items)


def test_each_host_says_its_verdict_decider_path_near_misses_and_age() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1))
    source = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.77"}}
    read_both(store, nft=nft([source, port(10250), ACCEPT], [port(10250), counter(41), DROP]))
    shown = text(store)
    assert "vantage-egress jump  allow  the vantage's own host" in shown
    assert "node-firewall n1  DENY  the host that holds the target" in shown
    assert "203.0.113.4 -> 10.0.0.11:10250/tcp" in shown
    assert "allow   read 12 s ago over ssh:jump" in shown
    assert "DENY: silence   read 12 s ago over node:n1" in shown
    assert "decides      inet t input rule 2 (handle 3): tcp dport 10250 counter packets 41 bytes 2460 drop" in shown
    assert "41 packets when it was read" in shown
    assert "input        inet t input rule 2  drop  <- decides" in shown
    assert "near miss    inet t input rule 1 (handle 2)" in shown
    assert "does not hold" in " ".join(shown.split())
    assert "assumed      it arrives over eth0, the host's way back to 203.0.113.4" in shown


def test_what_could_not_be_read_and_who_decides_before_is_said() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1))
    read_both(store, iptables_legacy=None, backends=None, qdiscs="qdisc clsact ffff: dev eth0 parent ffff:fff1")
    shown = text(store)
    assert "unknown   read" in shown
    assert "another datapath may decide before: a tc clsact hook on eth0" in " ".join(shown.split())
    assert "in front     a tc clsact hook on eth0: it decides before these rules" in shown
    assert "not read     on n1: iptables-legacy (denied: must be root); backends (denied: must be root)" in shown


def test_every_way_of_rules_that_disagree_is_shown_with_what_it_takes() -> None:
    store = estate(JUMP, node_over_ssh("n1", N1))
    limit = {"limit": {"rate": 5, "per": "minute", "burst": 5}}
    read_both(store, nft=nft([port(10250), limit, ACCEPT], policy="drop"))
    shown = text(store)
    assert "way 1" in shown
    assert "way 2" in shown
    assert "if" in shown


def test_hosts_that_nobody_read_say_how_they_could_be() -> None:
    assert "not read: w reads them over SSH" in text(estate(JUMP))
    assert "not read: --vantage node:n1 (or ssh:HOST) would be the way to them" in text(estate(JUMP))
    assert "by a pod made for it, after your yes" in text(estate(JUMP, BY_POD))
    local = estate(vantage("local"), vantage("script:a.ndjson"))
    assert "its answers come from a file" in text(local, CellKey(OUTSIDE.id, VantageId("script:a.ndjson")))
    assert "no host on this way is known" in text(local, CellKey(OUTSIDE.id, VantageId("local")))


def test_old_readings_say_their_age_and_decide_nothing() -> None:
    store = estate(JUMP)
    collect(store, "ssh:jump", "jump", **at_address("203.0.113.4"))
    shown = text(store, now=AT + 1_200)
    assert "unknown   read 20 min ago" in shown
    assert "read 20 min ago, more than 15: it said allow" in shown


def test_raw_rules_are_shown_on_demand() -> None:
    store = estate(JUMP)
    collect(store, "ssh:jump", "jump", nft=nft([port(99), DROP]))
    assert '"drop"' not in text(store)
    assert ": W shows it" in text(store)
    assert '"drop": null' in text(store, raw=True)


def test_a_witness_is_told_host_by_host() -> None:
    store = estate(JUMP)
    told = Witness(
        *KEY,
        at=AT,
        sent=2,
        answer="filtered (no-response)",
        sentence="it died on n1: that rule",
        hosts=(
            HostWitness(host="jump", predicted="allow", decider="-", sentence="passed on, no answer came by"),
            HostWitness(
                host="n1", predicted="deny", decider="that rule", counted=2, support=Support.SUPPORTS,
                moved=(RuleCount(rule="that rule", counted=2, on_path=True),), translated=("10.244.1.7:8080", ""),
                sentence="the rule that should decide counted 2 while 2 were sent",
            ),
        ),
    )  # fmt: skip
    store.apply(happened.Witnessed(at=AT, witness=told))
    shown = text(store)
    assert "witness      2 sent between two readings, answer filtered (no-response), 12 s ago" in shown
    assert "it died on n1: that rule" in shown
    assert "+2  that rule" in shown
    assert "really translated: to 10.244.1.7:8080" in shown
    store.apply(happened.Witnessed(at=AT, witness=Witness(*KEY, at=AT, error="no host on its way can be read")))
    assert "no host on its way can be read, 12 s ago" in text(store)


# --- keys


async def test_w_and_t_go_to_hosts_over_ssh_at_once() -> None:
    session = FakeSession(estate(JUMP))
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        app.push_screen(CellScreen(session, KEY))  # type: ignore[arg-type]
        await until(lambda: isinstance(app.screen, CellScreen), "the cell")
        await pilot.press("w")
        await until(lambda: session.read == [(KEY, False)], "a reading")
        await pilot.press("t")
        await until(lambda: session.watched == [(KEY, False)], "a witness")


async def test_pods_are_named_and_made_only_after_a_yes() -> None:
    key = CellKey(API.id, SHOP.id)
    session = FakeSession(estate(SHOP, BY_POD))
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        app.push_screen(CellScreen(session, key))  # type: ignore[arg-type]
        await until(lambda: isinstance(app.screen, CellScreen), "the cell")
        for answer, agreed in (("n", False), ("enter", False), ("y", True)):
            session.read.clear()
            await pilot.press("w")
            await until(lambda: isinstance(app.screen, ConsentScreen), "the question")
            listed = str(app.screen.query_one("#listed").render())  # type: ignore[attr-defined]
            assert "on node n1" in listed
            assert "NET_ADMIN" in listed
            await pilot.press(answer)
            await until(lambda: isinstance(app.screen, CellScreen), "the cell again")
            await until(lambda: bool(session.read), "a reading")
            assert session.read == [(key, agreed)]
