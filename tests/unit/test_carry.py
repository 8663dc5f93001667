"""Result files from elsewhere: whatever they hold, a sentence or printable, capped facts."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeshield_tui.errors import ProbeError
from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.carry import SCHEMA, clock_offset, job_hash, read_carried, read_nmap, script, warnings_of
from tests.unit.estate import endpoint, vantage
from tests.unit.test_judgement import API, DB, OPS, World

NOW = 1_800_000_000.0
KEYS = ["schema", "job", "results", "where", "hello", "told", "host", "port", "state", "at"]
ENDPOINTS = [endpoint("a", host="203.0.113.1", port=443), endpoint("b", host="2001:db8::1", port=53)]


def told(**changes: Any) -> bytes:
    result = {"op": "result", "id": "0", "state": "open", "reason": "syn-ack", "attempts": [["open", "syn-ack", 1.5]]}
    file = {
        "schema": SCHEMA, "job": "x", "version": "0", "started": NOW - 10, "ended": NOW,
        "where": {"host_name": "phone\x1b[2J", "addresses": ["192.0.2.7"], "tunnels": [], "routes": []},
        "hello": {"python": "3.6", "user": "me"},
        "results": [{"host": "203.0.113.1", "port": 443, "protocol": "tcp", "at": NOW, "told": result}],
    }  # fmt: skip
    file.update(changes)
    return json.dumps(file).encode()


def test_a_good_file_is_read_and_its_text_made_printable() -> None:
    carried = read_carried(told())
    assert carried.host_name == "phone␛[2J"
    assert carried.runner == "script, python 3.6"
    assert list(carried.answers) == [("203.0.113.1", 443, Protocol.TCP)]
    assert warnings_of(carried, NOW) == ()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", told()[:-40], told(results="no"), told(results=[{}]), told(schema=7),
        told(schema="kubeshield/carried/v9"), told(started="now"), told(where=[]), b"[" * 100_000,
        told().replace(b"443", b"NaN"), told().replace(b'"tcp"', b'"icmp"'), b"\xff\xfe" * 50,
    ],
)  # fmt: skip
def test_a_bad_file_is_a_sentence(data: bytes) -> None:
    with pytest.raises(ProbeError) as caught:
        read_carried(data)
    assert str(caught.value).isprintable()


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner),
        max_leaves=30,
    )
)
def test_no_file_raises_anything_else(value: object) -> None:
    for data in (json.dumps(value).encode(), told(results=[{"told": value}]), told(where={"routes": value})):
        try:
            carried = read_carried(data)
        except ProbeError:
            continue
        warnings_of(carried, NOW)


@given(
    st.dictionaries(
        st.sampled_from(["state", "reason", "attempts", "steps", "http", "tls", "icmp", "ms"]),
        st.none() | st.text() | st.integers() | st.lists(st.lists(st.text())),
    )
)
def test_a_forged_answer_is_an_error_or_an_observation(forged: dict[str, Any]) -> None:
    good = json.loads(told())["results"][0]
    good["told"].update(forged)
    carried = read_carried(told(results=[good]))
    (found,) = carried.answers.values()
    clock_offset(carried)
    probe = Probe(endpoint=ENDPOINTS[0].id, vantage=vantage("script:f").id, host="203.0.113.1", port=443)
    try:
        protocol.observation(probe, found.told, found.at, protocol.line(**found.told))
    except ProbeError:
        pass


def test_what_makes_it_less_than_it_seems_is_said() -> None:
    def result(host: str, date: str = "") -> dict[str, Any]:
        http = [{"method": "GET", "path": "/", "status": 200, "headers": [["Date", date]]}] if date else []
        return {
            "host": host, "port": 443, "protocol": "tcp", "at": NOW,
            "told": {"op": "result", "id": "0", "state": "open", "reason": "syn-ack", "http": http},
        }  # fmt: skip

    where = {
        "host_name": "laptop",
        "addresses": ["10.1.2.3"],
        "tunnels": ["wg0"],
        "routes": [["0.0.0.0", "0.0.0.0", "192.0.2.1", "eth0"], ["10.1.0.0", "255.255.0.0", "0.0.0.0", "wg0"]],
    }
    results = [result("10.1.9.9", "Fri, 15 Jan 2027 07:55:00 GMT"), result("10.1.2.3")]
    said = "\n".join(warnings_of(read_carried(told(where=where, results=results)), NOW + 3 * 86_400, "other"))
    for words in ("tunnel was up there (wg0)", "own route to 10.1.9.9", "on a target itself", "300 s ahead"):
        assert words in said
    assert "3.0 days old" in said
    assert "other targets" in said
    assert "from the future" in "".join(warnings_of(read_carried(told()), NOW - 500))


def test_the_script_is_python_and_carries_its_job() -> None:
    text = script(ENDPOINTS, Timing())
    ast.parse(text)
    assert 'AGENT = ""' not in text
    assert 'JOB = ""' not in text
    assert job_hash(ENDPOINTS, Timing()) != job_hash(ENDPOINTS, Timing(attempts=3))


def test_an_nmap_report_with_one_attempt_leaves_silence_unproven() -> None:
    def report(arguments: str) -> bytes:
        return (
            f'<nmaprun scanner="nmap" args="nmap {arguments}" start="{NOW:.0f}" version="7.93">'
            f'<host endtime="{NOW:.0f}"><address addr="203.0.113.1" addrtype="ipv4"/><ports>'
            '<port protocol="tcp" portid="443">'
            '<state state="filtered" reason="no-response"/></port></ports></host>'
            '<runstats><finished exit="success"/></runstats></nmaprun>'
        ).encode()

    for arguments, attempts in (("-sS", 2), ("-sS --max-retries 0", 1)):
        (found,) = read_nmap(report(arguments)).answers.values()
        assert len(found.told["attempts"]) == attempts
    with pytest.raises(ProbeError, match="no port"):
        read_nmap(b'<nmaprun scanner="nmap" version="7"></nmaprun>')


def test_a_recorded_vantage_is_never_asked_for_a_control() -> None:
    carried = vantage("script:f.json")
    world = World(API, DB, carried, OPS)
    world.see(DB, carried, State.OPEN, at=-5000)
    world.see(DB, OPS, State.FILTERED, at=0)
    wants = world.of(DB, OPS).wants
    assert all(want.key.vantage != carried.id for want in wants)
