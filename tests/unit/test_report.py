"""Reports: valid by their own schema, complete, stable, and exit codes that cron can trust."""

from __future__ import annotations

import json

import jsonschema
import pytest
from msgspec.structs import replace

from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, Recognition, Skipped
from kubeshield_tui.model.endpoint import Scope
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.ids import CellKey, finding_id
from kubeshield_tui.model.observation import Posture, Reason, State
from kubeshield_tui.model.vantage import VantageStatus
from kubeshield_tui.report.document import make_report, report_json, report_schema
from kubeshield_tui.report.outcome import exit_code
from kubeshield_tui.report.text import report_text
from kubeshield_tui.session.coverage import incomplete
from kubeshield_tui.session.store import Store
from tests.unit.estate import answer, endpoint, vantage

API = endpoint("kube-apiserver", component="kube-apiserver", host="2001:db8::1", port=6443)
POD_ONLY = endpoint("db", host="10.96.0.7", scope=Scope.CLUSTER)
SHOP, HERE = vantage("pod:shop"), vantage("local")


def store(posture: Posture = Posture.AUTH_REQUIRED) -> Store:
    estate = Store()
    estate.apply(happened.SessionStarted(at=1, title="prod", version="0"))
    for target in (API, POD_ONLY):
        estate.apply(happened.EndpointFound(at=1, endpoint=target))
    for source in (SHOP, HERE):
        estate.apply(happened.VantageAdded(at=1, vantage=source))
    judge = Judge(estate.endpoints, estate.vantages)
    for target, source, state in ((API, SHOP, State.OPEN), (API, HERE, State.OPEN), (POD_ONLY, SHOP, State.CLOSED)):
        observation = answer(CellKey(target.id, source.id), 2, state, posture=posture)
        estate.apply(happened.CellObserved(at=2, observation=observation))
        for key in judge.tell(observation):
            outcome = judge.judge(key)
            assert outcome
            estate.apply(happened.CellJudged(at=2, judgement=outcome.judgement))
            for finding in outcome.findings:
                estate.apply(happened.FindingRaised(at=2, finding=finding))
    estate.apply(
        happened.CellUntested(
            at=2, endpoint=POD_ONLY.id, vantage=HERE.id, reason=Reason.OUT_OF_SCOPE, why="another target"
        )
    )
    return estate


def test_a_report_is_valid_by_the_schema_that_we_print() -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(report_json(store()))
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    assert set(document) == set(schema["properties"])  # type: ignore[arg-type]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "cells": [{**document["cells"][0], "state": "blocked"}]}, schema)


def test_the_contracts_fields_are_there() -> None:
    document = json.loads(report_json(store()))
    assert document["schema"] == "kubeshield/audit/v1"
    cell = document["cells"][0]
    told = "endpoint vantage state reason posture latency_ms attempts expected predicted depth depth_max verdict"
    assert {*told.split(), "layers", "proof"} <= set(cell)
    assert {"vantage_alive", "vantage_basis", "target_alive"} <= set(cell["proof"])
    assert cell["layers"][0]["layer"] == "authentication"
    assert (cell["verdict"], cell["predicted"], cell["depth"]) == ("exposed", "unknown", 1)
    measured = {cell["endpoint"]: [] for cell in document["cells"]}
    for cell in document["cells"]:
        measured[cell["endpoint"]].append(cell["depth"])
    for told in document["endpoints"]:
        assert told["depth"] == min(depth for depth in measured[told["id"]] if depth is not None)
    assert set(document["vantages"][0]) == {"id", "kind", "zone", "status", "detail"}
    (finding,) = document["findings"]
    assert all(finding[part] for part in ("because", "verify", "remedy"))
    assert (finding["id"], finding["since"]) == ("exposed:prod:kube-apiserver:inside", "1970-01-01T00:00:02Z")
    assert finding["cells"] == [{"endpoint": API.id, "vantage": SHOP.id}]
    assert finding["reach"] == {"cells": 1, "endpoints": 1, "vantages": 1, "namespaces": 1}


def test_one_cause_is_one_finding_in_every_report_and_names_all_its_cells() -> None:
    estate = store()
    (known,) = estate.findings.values()
    for number in range(30):
        pod = vantage(f"pod:shop/web-{number}")
        estate.apply(happened.VantageAdded(at=3, vantage=pod))
        more = replace(known, id=finding_id("exposed", API.id, pod.id), vantage=pod.id)
        estate.apply(happened.FindingRaised(at=3, finding=more))
    (finding,) = json.loads(report_json(estate))["findings"]
    assert finding["title"] == "kube-apiserver [2001:db8::1]:6443 open to pods of shop: 31 pods"
    assert len(finding["cells"]) == 31
    assert finding["since"] == "1970-01-01T00:00:02Z"
    text = report_text(estate)
    assert text.count("MEDIUM   ") == 1
    assert "and 27 more" in text
    estate.apply(happened.FindingCleared(at=4, finding=known.id))
    (finding,) = json.loads(report_json(estate))["findings"]
    assert (len(finding["cells"]), finding["since"]) == (30, "1970-01-01T00:00:03Z")


def test_what_a_cluster_is_and_what_is_not_asked_is_said() -> None:
    read = store()
    facts = ClusterFacts(
        id="prod", server="https://h", recognised=(Recognition(what="cni", name="calico", evidence="DaemonSet x"),)
    )
    skipped = (Skipped(name="Service shop/db", why="a name in DNS"),)
    read.apply(happened.ClusterRead(at=3, inventory=Inventory(cluster=facts, skipped=skipped)))
    document = json.loads(report_json(read))
    jsonschema.validate(document, report_schema(), cls=jsonschema.Draft202012Validator)
    assert document["clusters"][0]["recognised"] == [{"what": "cni", "name": "calico", "evidence": "DaemonSet x"}]
    assert document["skipped"] == [{"name": "Service shop/db", "why": "a name in DNS"}]
    text = report_text(read)
    assert "cluster prod: cni calico" in text
    assert "not asked: Service shop/db: a name in DNS" in text


def test_every_cell_of_the_grid_is_in_the_report_and_coverage_adds_up() -> None:
    report = make_report(store())
    assert len(report.cells) == 4
    assert report.coverage.tested == 3
    (left_out,) = report.coverage.untested
    assert (left_out.endpoint, left_out.vantage, left_out.why) == (POD_ONLY.id, HERE.id, "out-of-scope")


@pytest.mark.parametrize(
    ("posture", "fail_on", "code"),
    [
        (Posture.AUTH_REQUIRED, Severity.MEDIUM, 1),
        (Posture.AUTH_REQUIRED, Severity.HIGH, 0),
        (Posture.ANONYMOUS, Severity.CRITICAL, 1),
    ],
)
def test_exit_code_follows_the_severity(posture: Posture, fail_on: Severity, code: int) -> None:
    assert exit_code(store(posture), fail_on) == code


def test_what_could_not_be_measured_is_incomplete_but_out_of_scope_is_not() -> None:
    estate = store()
    assert incomplete(estate) == ()
    estate.apply(happened.VantageChanged(at=3, vantage=HERE.id, status=VantageStatus.FAILED, detail="no route"))
    assert incomplete(estate) == ("vantage local: no route",)
    estate.apply(happened.SessionEnded(at=4, incomplete=incomplete(estate)))
    assert exit_code(estate, Severity.CRITICAL) == 3
    assert exit_code(estate, Severity.LOW) == 1  # findings outrank incompleteness


def test_text_says_what_is_wrong_first_and_draws_in_ascii_where_it_must() -> None:
    text = report_text(store())
    assert text.index("MEDIUM") < text.index("db 10.96.0.7:443")
    assert "kube-apiserver [2001:db8::1]:6443 open to pods of shop" in text
    assert "✖1 exposed" in text
    plain = report_text(store(), ascii_only=True)
    assert plain.isascii()
    assert "X1 exposed" in plain


def test_a_self_test_stands_in_both_reports_and_is_incomplete_where_it_told_nothing() -> None:
    held = SelfTest(cluster="prod", enforced=True, before="open (syn-ack)", after="filtered (no-response)")
    failed = SelfTest(cluster="lab", enforced=None, before="", after="", detail="create namespaces: forbidden")
    estate = store()
    for test in (held, failed):
        estate.apply(happened.SelfTested(at=3, test=test))
    document = json.loads(report_json(estate))
    jsonschema.validate(document, report_schema(), cls=jsonschema.Draft202012Validator)
    assert [(test["cluster"], test["enforced"]) for test in document["self_tests"]] == [("prod", True), ("lab", None)]
    text = report_text(estate)
    assert "self-test of prod: policies are enforced. open (syn-ack) without a policy, filtered" in text
    assert [line for line in incomplete(estate) if "self-test" in line] == [
        "self-test of lab told nothing: create namespaces: forbidden"
    ]
