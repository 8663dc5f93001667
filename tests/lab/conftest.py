"""The laboratory for a whole module. Where it can't be made the tests are skipped, but never in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.netns import Lab, can_make_namespaces, lab


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    why = can_make_namespaces()
    if why:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the lab can't run: {why}")
        pytest.skip(why)
    with lab() as made:
        yield made
