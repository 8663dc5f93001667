"""`expect init`, `check` and `schema`: a file that changes nothing, and what is refused."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeshield_tui.cli.main import run
from kubeshield_tui.discovery.catalogue import builtin
from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.event import encode_event
from kubeshield_tui.model.text import printable
from kubeshield_tui.report.document import report_json
from kubeshield_tui.report.expect_file import expectations_file
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.expect_file import parse_expectations
from kubeshield_tui.settings.expect_form import expect_schema
from tests.unit.declare import ENDPOINTS, NODES, OUTSIDE, VANTAGES, as_json, component, declare, inventory, service
from tests.unit.estate import vantage

FOUND = (*ENDPOINTS, *(component(row.component) for row in builtin().rows), *(service(f"s{n}") for n in range(40)))
EVERYTHING = tuple({endpoint.id: endpoint for endpoint in FOUND}.values())
WATCHERS = (*VANTAGES, *(replace(vantage(f"node:{node.name}"), cluster="prod") for node in NODES))


def uncommented(text: str, heading: str = "") -> str:
    """The file as it is when the # is taken off, the part under one heading only."""
    part = text.split(f"# --- {heading}", 1)[1].split("\n# --- ")[0].partition("\n")[2] if heading else text
    return re.sub(r"(?m)^#(?=\S)", "", part)


def store() -> Store:
    estate = Store()
    estate.apply(happened.SessionStarted(at=1, title="prod", version="0"))
    for endpoint in EVERYTHING:
        estate.apply(happened.EndpointFound(at=1, endpoint=endpoint))
    estate.apply(happened.VantageAdded(at=1, vantage=OUTSIDE))
    return estate


def musts(expectations: Expectations) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (to.id, by.id): (expectation.must, expectation.severity)
        for to in EVERYTHING
        for by in WATCHERS
        for expectation in [expectations.expect(to, by)]
    }


def test_as_it_is_written_the_file_changes_nothing() -> None:
    text = expectations_file("prod", EVERYTHING, builtin())
    jsonschema.validate(as_json(tomllib.loads(text)), expect_schema(), cls=jsonschema.Draft202012Validator)
    assert parse_expectations(text, "e.toml", "e.toml") == ((), ())
    clusters = {"prod": inventory()}
    assert musts(declare(text, clusters)) == musts(declare("", clusters))
    assert max(map(len, text.splitlines())) <= 120


def test_the_baseline_in_it_says_what_the_baseline_says_once_its_comments_are_taken_off() -> None:
    text = uncommented(expectations_file("prod", EVERYTHING, builtin()), "The baseline")
    clusters = {"prod": inventory()}
    theirs = declare(text, clusters)
    assert musts(theirs) == musts(declare("", clusters))
    sources = {theirs.expect(to, by).source for to in EVERYTHING for by in WATCHERS}
    assert any(source.startswith("expect.toml") for source in sources)
    assert not any(source.startswith('baseline "') for source in sources)


def test_all_of_it_is_valid_once_its_comments_are_taken_off() -> None:
    text = uncommented(expectations_file("prod", EVERYTHING, builtin()))
    jsonschema.validate(as_json(tomllib.loads(text)), expect_schema(), cls=jsonschema.Draft202012Validator)
    assert len(parse_expectations(text, "e.toml", "e.toml").exceptions) == 1


def test_every_component_that_was_found_is_named() -> None:
    text = expectations_file("prod", EVERYTHING, builtin())
    named = re.sub(r"\s*\n# ", " ", text)
    assert [endpoint.name for endpoint in EVERYTHING[: len(ENDPOINTS)] if f"{endpoint.name} " not in named] == []
    for row in builtin().rows:
        assert f"{row.component} 203.0.113.10:443" in named
    assert "and 36 more" in named


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)), max_size=4))
def test_whatever_things_are_called_it_stays_a_file_that_changes_nothing(called: list[tuple[str, str, str]]) -> None:
    found = [
        replace(service(f"s{number}"), name=name, namespace=space, component=kind, object=f"Service/{name}")
        for number, (name, space, kind) in enumerate(called)
    ]
    text = expectations_file(printable("\x1b]0;x\nprod"), found, builtin())
    assert parse_expectations(text, "e.toml", "e.toml") == ((), ())
    tomllib.loads(uncommented(text))


def test_it_is_made_of_a_report_and_of_a_record_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, record, output = tmp_path / "report.json", tmp_path / "record.ndjson", tmp_path / "expect.toml"
    report.write_bytes(report_json(store()))
    found: list[Endpoint] = [*EVERYTHING, service("gone")]
    events = [happened.SessionStarted(at=1, title="prod", version="0")]
    events += [happened.EndpointFound(at=1, endpoint=endpoint) for endpoint in found]
    events.append(happened.EndpointGone(at=1, endpoint=found[-1].id))
    record.write_bytes(b"\n".join(map(encode_event, events)) + b"\n")
    assert run(["expect", "init", "--from", str(report)]) == 0
    of_report = capsys.readouterr().out
    assert run(["expect", "init", "--from", str(record), "--output", str(output)]) == 0
    assert of_report == output.read_text("utf-8") == expectations_file("prod", EVERYTHING, builtin())
    assert run(["expect", "check", str(output)]) == 0
    assert "0 rules, 0 exceptions" in capsys.readouterr().out


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, output = tmp_path / "report.json", tmp_path / "expect.toml"
    report.write_bytes(report_json(store()))
    output.write_text("# mine\n")
    assert run(["expect", "init", "--from", str(report), "--output", str(output)]) == 2
    assert output.read_text() == "# mine\n"
    assert "expect.toml" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b"[]", b"\xff\xfe", b'{"event": "Nothing"}\n', b'{"title": 3}'])
def test_what_is_neither_a_report_nor_a_record_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found"
    path.write_bytes(content)
    assert run(["expect", "init", "--from", str(path)]) == 2
    said = capsys.readouterr()
    assert str(path) in said.err
    assert said.out == ""


def test_check_says_what_can_never_decide_and_what_has_expired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "expect.toml"
    path.write_text(
        '[[rule]]\nname = "a"\nmust = "any"\nto = { component = "etcd", port = 2379 }\n'
        '[[rule]]\nname = "b"\nmust = "blocked"\nto.component = "etcd"\n'
        '[[exception]]\nname = "c"\nto.component = "etcd"\nowner = "o"\nreason = "r"\nexpires = 2001-01-01\n'
    )
    assert run(["expect", "check", str(path)]) == 0
    said = capsys.readouterr().out
    assert 'expect.toml:1 "a": never decides' in said
    assert 'expect.toml:9 "c": expired on 2001-01-01' in said
    path.write_text(path.read_text().replace("etcd", "etdc", 1))
    assert run(["expect", "check", str(path)]) == 2
    assert f"{path}:4: " in capsys.readouterr().err


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["expect", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == expect_schema()
