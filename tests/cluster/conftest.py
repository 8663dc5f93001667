"""Runs only where a real cluster is named: see kit.py. Outside the plain run on purpose."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster import kit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("KUBESHIELD_TEST_KUBECONFIG", "KUBESHIELD_TEST_KIT") if not os.environ.get(name)]
    if missing:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"no real cluster: set {' and '.join(missing)}"))


@pytest.fixture(scope="module")
def web() -> str:
    return kit.kubectl("get", "pods", "-n", "shop", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")


@pytest.fixture
def policies_off() -> Iterator[None]:
    kit.kit("policy", "off")
    yield
    kit.kit("policy", "on")
