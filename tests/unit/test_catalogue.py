"""The catalogue: every row asks safely and says how much it matters."""

from __future__ import annotations

import pytest

from kubeshield_tui.discovery.catalogue import HTTP, HTTPS, Row, Where, builtin
from kubeshield_tui.model.endpoint import Conversation

ROWS = builtin().rows
TALKS = [*(row.conversation for row in ROWS), HTTP, HTTPS]
TOKEN_PATH = "/latest/api/token"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.component)
def test_every_row_says_what_it_is_and_how_bad_it_is(row: Row) -> None:
    assert row.title
    assert row.reference
    assert row.ports
    assert bool(row.address) == (row.where is Where.METADATA)
    assert bool(row.group) == (row.where is not Where.WORKLOAD)
    assert builtin().row(row.component) is row
    assert row in builtin().at(row.where)


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: " ".join(each.path for each in talk.requests) or "connect")
def test_no_request_changes_anything_or_asks_for_credentials(talk: Conversation) -> None:
    assert len(talk.requests) <= 2
    for request in talk.requests:
        if request.path == TOKEN_PATH:
            assert (request.method, request.keep_body) == ("PUT", False)
            continue
        assert request.method in {"GET", "HEAD"}
        lowered = request.path.lower()
        words = ("secret", "token", "credential", "iam", "exec", "run", "attach", "user-data", "service-accounts")
        assert not any(word in lowered for word in words)
