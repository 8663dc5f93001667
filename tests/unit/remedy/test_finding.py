"""What a finding says of the command that writes its policy."""

from __future__ import annotations

from msgspec.structs import replace

from kubeshield_tui.discovery.catalogue import METADATA_GROUP
from kubeshield_tui.judgement.findings import findings_of
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Judgement, Verdict
from tests.unit.estate import answer, endpoint, vantage

API = endpoint("api", component="kube-apiserver", host="203.0.113.10", port=6443)
METADATA = replace(endpoint("metadata", host="169.254.169.254", port=80), group=METADATA_GROUP)
POD, HERE = vantage("pod:shop/web-0"), vantage("local")


def remedy(target: Endpoint, source: Vantage, *, simulated: bool = False) -> str:
    key = CellKey(target.id, source.id)
    judgement = Judgement(endpoint=target.id, vantage=source.id, verdict=Verdict.EXPOSED)
    seen = replace(answer(key, 1.0, State.OPEN), simulated=simulated)
    (finding,) = findings_of(target, source, seen, judgement, ambiguous=False)
    return finding.remedy


def test_pods_are_told_the_command() -> None:
    assert "`kubeshield remedy api -n shop --context prod` writes the policy" in remedy(API, POD)
    assert "`kubeshield remedy metadata -n shop --context prod` writes the policy" in remedy(METADATA, POD)


def test_others_are_not() -> None:
    assert "kubeshield remedy" not in remedy(API, HERE)
    assert "kubeshield remedy" not in remedy(endpoint("db"), POD)
    assert "kubeshield remedy" not in remedy(METADATA, POD, simulated=True)
