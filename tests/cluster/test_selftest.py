"""The proof of enforcement on a real cluster: with policies on and off, and nothing of ours left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import kit


def namespaces() -> list[str]:
    selector = "app.kubernetes.io/managed-by=kubeshield"
    return kit.kubectl("get", "namespaces", "-l", selector, "-o", "name").split()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert kit.own_objects() == []
    assert namespaces() == []


@pytest.fixture
def policies_off() -> Iterator[None]:
    kit.kit("policy", "off")
    yield
    kit.kit("policy", "on")


def selftest(*arguments: str) -> tuple[int, dict[str, Any]]:
    process = kit.start("selftest", "--kubeconfig", kit.kit("kubeconfig", "--netns"), "--format", "json", *arguments)
    out, _ = process.communicate(timeout=kit.LIMIT)
    return process.returncode, json.loads(out) if out else {}


def test_a_cluster_that_enforces() -> None:
    code, told = selftest("--yes")
    assert (code, told["enforced"], told["deny_style"]) == (0, True, "drop")
    assert (told["before"], told["after"]) == ("open (syn-ack)", "filtered (no-response)")
    assert 0 <= told["lag"] < 30
    assert 0 <= told["release"] < 30


@pytest.mark.usefixtures("policies_off")
def test_a_cluster_that_takes_policies_and_does_nothing() -> None:
    code, told = selftest("--yes")
    assert (code, told["enforced"], told["after"]) == (1, False, "open (syn-ack)")


def test_without_consent_nothing_is_made() -> None:
    code, told = selftest()
    assert (code, told) == (2, {})


def test_an_image_that_cant_listen_tells_nothing_and_leaves_nothing() -> None:
    code, told = selftest("--yes", "--pod-image", "busybox:1.36")
    assert (code, told) == (3, {})


def test_what_a_killed_self_test_left_goes_with_a_sweep() -> None:
    process = kit.start("selftest", "--kubeconfig", kit.kit("kubeconfig", "--netns"), "--yes")
    kit.wait_until(lambda: len(kit.own_objects()) == 4, "two pods and two leases")
    process.kill()
    process.communicate()
    swept = kit.start("sweep", "--kubeconfig", kit.kit("kubeconfig", "--netns"), "--force")
    out, _ = swept.communicate(timeout=kit.LIMIT)
    assert swept.returncode == 0, out
    assert "removed Namespace kubeshield-selftest-" in out
    kit.wait_until(lambda: namespaces() == [], "the namespace to be gone")
