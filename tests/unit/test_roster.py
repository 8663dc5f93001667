"""One grid of several clusters and the user's targets: each place once, whatever order they are read in."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery.catalogue import builtin
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.discovery.imported import with_open_ports
from kubeshield_tui.discovery.roster import Roster
from kubeshield_tui.discovery.targets_file import parse_line
from kubeshield_tui.engine.plan import out_of_scope
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.vantage import Vantage, Zone, parse_vantage
from tests.unit.raw_objects import Raw, estate_of, named, node, service


def cluster(name: str, *, uid: str = "", server: str = "", public: str = "", cluster_ip: str = "10.96.0.5") -> Estate:
    """A cluster with a node and a Service; clusters of one name are alike but for what is said."""
    context = ContextEntry(name=name, cluster=name, server=server or f"https://{name}.example.org:6443")
    spec = {"clusterIP": cluster_ip, "externalIPs": [public] if public else [], "ports": [{"port": 80}]}
    raws: dict[str, list[Raw]] = {"services": [service(spec)], "nodes": [node("n1", "10.0.0.11")]}
    if uid:
        raws["namespaces"] = [named("kube-system", uid=uid)]
    return estate_of(context, **raws)


def target(line: str) -> Endpoint:
    (endpoint,) = parse_line(line, "targets.txt:3", "targets.txt:3")
    return endpoint


def rows(roster: Roster, *estates: Estate) -> dict[str, Endpoint]:
    """Rows as a session has them after these readings."""
    held: dict[str, Endpoint] = {}
    for change in (roster.begin(), *(roster.read(estate) for estate in estates)):
        for gone in change.gone:
            del held[gone]
        held.update({endpoint.id: endpoint for endpoint in change.found})
    return held


def test_a_target_that_is_discovered_is_one_row() -> None:
    roster = Roster(("a",), [target("10.0.0.11:10250 expect=blocked"), target("192.0.2.1:22")])
    assert {endpoint.id for endpoint in roster.begin().found} == {"10.0.0.11:10250/tcp", "192.0.2.1:22/tcp"}
    change = roster.read(cluster("a"))
    assert change.gone == ("10.0.0.11:10250/tcp",)
    (row,) = [each for each in change.found if (each.host, each.port) == ("10.0.0.11", 10250)]
    assert (row.id, row.component, row.declared) == ("a/Node/n1:10250/tcp", "kubelet", "blocked")
    assert row.source == "targets.txt:3; Node n1"
    # The node goes, the user's target stays.
    change = roster.read(estate_of(ContextEntry(name="a", cluster="a", server="https://a.example.org:6443")))
    assert "a/Node/n1:10250/tcp" in change.gone
    assert "10.0.0.11:10250/tcp" in {each.id for each in change.found}


def test_a_target_inside_a_cluster_is_asked_from_everywhere() -> None:
    held = rows(Roster(("a",), [target("10.96.0.5:80")]), cluster("a"))
    row = held["a/shop/Service/web:80/tcp"]
    assert row.source == "Service shop/web; targets.txt:3"
    outsider = Vantage(id=parse_vantage("local").id, spec=parse_vantage("local"), zone=Zone.ADMIN)
    assert out_of_scope(row, outsider) == ""
    (same,) = [each for each in cluster("a").endpoints() if each.id == row.id]
    assert out_of_scope(same, outsider)  # nobody named it


def test_a_target_that_names_a_component_means_that_one() -> None:
    lines = ["169.254.169.254:80 expect=blocked", "169.254.169.254:80 component=gcp-metadata expect=reachable"]
    asked_otherwise = target("10.96.0.5:80 component=kubectl-proxy")
    held = rows(Roster(("a",), [*map(target, reversed(lines)), asked_otherwise]), cluster("a"))
    metadata = {each.component: each.declared for each in held.values() if each.host == "169.254.169.254"}
    assert metadata["gcp-metadata"] == "reachable"
    assert {declared for component, declared in metadata.items() if component != "gcp-metadata"} == {"blocked"}
    # It is asked in another way than the Service there: a row of its own.
    assert {each.component for each in held.values() if each.host == "10.96.0.5"} == {"kubectl-proxy", "service"}


def test_clusters_with_the_same_private_addresses_stay_apart() -> None:
    held = rows(Roster(("a", "b"), [target("10.96.0.5:80 expect=blocked")]), cluster("a"), cluster("b"))
    for name in ("a", "b"):
        assert f"{name}/Node/n1:10250/tcp" in held
        assert held[f"{name}/shop/Service/web:80/tcp"].declared == "blocked"
    assert "10.96.0.5:80/tcp" not in held


def test_a_public_address_is_one_place_for_all_clusters() -> None:
    public = "93.184.216.34"
    held = rows(Roster(("a", "b")), cluster("b", public=public), cluster("a", public=public))
    (row,) = [each for each in held.values() if each.host == public]
    assert (row.cluster, row.source) == ("a", "Service shop/web; Service shop/web of b")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"uid": "1"}, {"uid": "1"}, True),
        ({"uid": "1", "server": "https://s:1"}, {"uid": "2", "server": "https://s:1"}, False),
        ({"uid": "1", "server": "https://s:1"}, {"server": "https://s:1"}, True),
        ({"uid": "1"}, {}, False),
    ],
)
def test_two_contexts_of_one_cluster_are_told_and_not_doubled(
    one: dict[str, str], other: dict[str, str], same: bool
) -> None:
    for first, second in permutations((cluster("a", **one), cluster("b", **other))):
        roster = Roster(("a", "b"))
        told = (*roster.read(first).twins, *roster.read(second).twins)
        assert told == ((("b", "a"),) if same else ())  # whichever answers first
        assert roster.read(second).twins == ()
        held = rows(Roster(("a", "b")), first, second)
        assert {each.cluster for each in held.values()} == ({"a"} if same else {"a", "b"})


def test_what_did_not_change_is_not_told_again() -> None:
    roster = Roster(("a",), [target("192.0.2.1:22")])
    estate = cluster("a")
    assert roster.read(estate).found
    assert roster.read(estate) == ((), (), ())
    (record,) = estate.records("services")
    estate.drop("services", ("shop", "web"))
    assert roster.read(estate).gone == ("a/shop/Service/web:80/tcp",)
    estate.put("services", record)
    assert [each.id for each in roster.read(estate).found] == ["a/shop/Service/web:80/tcp"]


def test_names_of_one_cluster_that_hold_escape_sequences_are_told_apart() -> None:
    raws = [
        service({"clusterIP": "10.96.0.6", "ports": [{"port": 80}]}, name=f"w\x1b]0;{letter}\x07") for letter in "ab"
    ]
    raws[1]["spec"]["clusterIP"] = "10.96.0.7"
    found = [each for each in estate_of(services=raws).endpoints() if each.component == "service"]
    assert [each.name for each in found] == ["w␛]0;a␇", "w␛]0;b␇"]


def test_open_ports_of_an_nmap_report_are_rows_and_the_users_line_comes_first(tmp_path: Path) -> None:
    ports = "".join(
        f'<port protocol="tcp" portid="{port}"><state state="{state}" reason="{reason}"/></port>'
        for state, reason, numbers in (
            ("open", "syn-ack", (10250, 2222, 22)),
            ("closed", "conn-refused", (81,)),
            ("filtered", "no-response", (82,)),
        )
        for port in numbers
    )
    report = tmp_path / "scan.xml"
    report.write_text(
        '<nmaprun scanner="nmap" args="nmap -sS" start="1700000000" version="7.93"><host endtime="1700000000">'
        f'<address addr="10.0.0.11" addrtype="ipv4"/><ports>{ports}</ports></host>'
        '<runstats><finished exit="success"/></runstats></nmaprun>'
    )
    specs = [parse_vantage(f"nmap:{report}"), parse_vantage("local")]
    targets = with_open_ports([target("10.0.0.11:22 expect=blocked")], specs, builtin())
    held = rows(Roster(("a",), targets), cluster("a"))
    # What discovery knows too is its row; what nobody knew is asked from everywhere.
    assert held["a/Node/n1:10250/tcp"].source == f"Node n1; nmap:{report}"
    assert held["10.0.0.11:2222/tcp"].named
    assert held["10.0.0.11:22/tcp"].declared == "blocked"
    assert not [each for each in held.values() if each.host == "10.0.0.11" and each.port in {81, 82}]
