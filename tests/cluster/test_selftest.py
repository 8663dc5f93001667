"""The proof of enforcement on a real cluster: with policies on and off, and nothing of ours left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kubeshield_tui.session.enforcing import enforcement
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Settings
from tests.cluster import kit


def namespaces() -> list[str]:
    selector = "app.kubernetes.io/managed-by=kubeshield"
    return kit.kubectl("get", "namespaces", "-l", selector, "-o", "name").split()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert kit.own_objects() == []
    assert namespaces() == []


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


@asynccontextmanager
async def watching() -> AsyncIterator[tuple[Session, str]]:
    """A live session that asks nothing by itself, and its cluster."""
    session = Session(Settings(kubeconfig=kit.KUBECONFIG))
    running = asyncio.create_task(session.run())
    try:
        async with asyncio.timeout(30):
            while session.store.phase != "watching":
                await asyncio.sleep(0.1)
        yield session, next(iter(session.store.clusters))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_an_audit_that_is_told_to_shows_it() -> None:
    audit = kit.audit("--self-test", "--yes")
    [test] = audit.report["self_tests"]
    assert (test["enforced"], test["deny_style"]) == (True, "drop")
    assert "policies are enforced" in audit.err


async def test_a_session_keeps_what_its_self_test_showed() -> None:
    async with watching() as (session, cluster):
        assert enforcement(session.store, session.settings, cluster).enforces is None
        await session.self_test(cluster)
        known = enforcement(session.store, session.settings, cluster)
        assert (known.enforces, known.deny_style) == (True, "drop")
        assert session.store.objects == []


async def test_a_session_that_ends_in_the_middle_of_a_self_test_leaves_nothing() -> None:
    async with watching() as (session, cluster):
        asking = asyncio.create_task(session.self_test(cluster))
        async with asyncio.timeout(30):
            while len(session.store.objects) < 3:
                await asyncio.sleep(0.05)
    await asyncio.gather(asking, return_exceptions=True)
    [test] = session.store.self_tests.values()
    assert (test.enforced, test.detail) == (None, "it was ended before it told anything")
    assert (session.store.objects, session.store.left) == ([], [])


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
