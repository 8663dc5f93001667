"""What an independent evaluator says of random estates, recorded by `python -m tests.oracle.netpol`: we say so too."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.oracle import compare
from tests.oracle.random_policies import estate

RECORDED = Path(compare.__file__).with_name("recorded.json.gz")
CHUNKS = 8


@pytest.fixture(scope="module")
def recorded() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_same_connections_on_the_same_ports(recorded: list[dict[str, Any]], chunk: int) -> None:
    assert len(recorded) >= 400
    for item in recorded[chunk::CHUNKS]:
        assert list(compare.differences(item["objects"], item["listing"])) == [], item["seed"]


def test_estates_hold_what_matters() -> None:
    text = json.dumps([estate(seed) for seed in range(50)])
    for word in ("except", "endPort", "NotIn", "DoesNotExist", "SCTP", "policyTypes", '"port": "web"', "metadata.name"):
        assert word in text


def test_a_difference_is_found(recorded: list[dict[str, Any]]) -> None:
    item = next(item for item in recorded if item["listing"])
    (source, destination, _), *rest = item["listing"]
    found = list(compare.differences(item["objects"], rest))
    assert found
    assert {(one.theirs, bool(one.ours)) == ({}, True) for one in found} == {True}
    assert source in {one.source for one in found} or destination in {one.destination for one in found}


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("All connections", compare.EVERYTHING),
        ("{protocols:TCP}", {"TCP": ((1, 65535),)}),
        ("{protocols:TCP, SCTP,dst_ports:80-90,5432}", dict.fromkeys(("TCP", "SCTP"), ((80, 90), (5432, 5432)))),
    ],
)
def test_what_the_other_says_is_understood(text: str, ports: compare.Ports) -> None:
    assert compare.their_listing(f"a/b[Pod] => 0.0.0.0-255.255.255.255 : {text}") == [
        ("a/b", "0.0.0.0-255.255.255.255", ports)
    ]
