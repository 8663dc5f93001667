"""Watches against servers that misbehave: nothing is missed, nobody is hammered, each trouble is said once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.cluster import client as client_module
from kubeshield_tui.cluster import watch as watch_module
from kubeshield_tui.cluster.kinds import KINDS
from kubeshield_tui.cluster.watch import (
    Failed,
    Listed,
    Restored,
    Skipped,
    Slowed,
    Unreadable,
)
from kubeshield_tui.errors import ClusterError
from tests.contract.scripted import (
    PODS,
    TOKEN,
    Refusal,
    bookmark,
    expired,
    following,
    line,
    pod,
    says,
    scripted,
    write_kubeconfig,
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "BACKOFF", (0.01, 0.02, 0.05))


async def hold(_: web.Request, __: web.StreamResponse) -> None:
    await asyncio.sleep(30)


def then_hold(*pieces: bytes) -> Any:
    async def turn(request: web.Request, response: web.StreamResponse) -> None:
        await says(*pieces)(request, response)
        await hold(request, response)

    return turn


async def test_a_bookmark_moves_the_watch_on(tmp_path: Path) -> None:
    async with scripted(tmp_path) as (server, client):
        server.turns = [says(line("MODIFIED", pod("web-0", 11)), bookmark(40)), says(), hold]
        async with following(client) as follower:
            await follower.until(lambda: len(server.watches) == 3)
        assert [asked["resourceVersion"] for asked in server.watches] == ["10", "40", "40"]
        assert {asked["allowWatchBookmarks"] for asked in server.watches} == {"true"}
        assert all(300 <= int(asked["timeoutSeconds"]) <= 600 for asked in server.watches)
        assert follower.keys() == [("list", "web-0"), ("put", "web-0")]
        assert server.lists == 1


@pytest.mark.parametrize("turn", [says(expired()), Refusal(410, b'{"code": 410}')], ids=["in the stream", "at once"])
async def test_410_lists_again(tmp_path: Path, turn: Any) -> None:
    async with scripted(tmp_path) as (server, client):
        server.turns = [turn, then_hold(line("ADDED", pod("web-2", 52)))]
        async with following(client) as follower:
            await follower.until(lambda: server.lists == 1)
            server.items, server.position = [pod("web-1", 50)], 51
            await follower.until(lambda: ("put", "web-2") in follower.keys())
        assert follower.keys() == [("list", "web-0"), ("list", "web-1"), ("put", "web-2")]
        assert [asked["resourceVersion"] for asked in server.watches] == ["10", "51"]
        assert not follower.of(Failed, Slowed)


async def test_a_watch_that_dies_again_and_again_is_met_with_longer_waits_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            waits.append(seconds)
        await real(0)

    monkeypatch.setattr(watch_module, "BACKOFF", (0.5, 1.0, 2.0, 4.0, 8.0))
    async with scripted(tmp_path) as (server, client):
        server.turns = [says(line("MODIFIED", pod("web-0", 11)))]
        async with following(client) as follower:
            monkeypatch.setattr(watch_module.asyncio, "sleep", sleep)
            while len(waits) < 12:
                await real(0.005)
        monkeypatch.undo()
        assert server.lists == 1
    for number, wait in enumerate(waits):
        longest = (0.5, 1.0, 2.0, 4.0, 8.0)[min(number + 1, 4)]
        assert longest / 2 <= wait <= longest
    (slowed,) = follower.of(Slowed)
    assert "the server ends each watch" in slowed.why
    assert not follower.of(Failed, Restored)


async def test_slowness_is_over_when_a_watch_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "STEADY_SECONDS", 0.2)

    async def alive(_: web.Request, response: web.StreamResponse) -> None:
        while True:
            await asyncio.sleep(0.1)
            await response.write(bookmark(12))

    async with scripted(tmp_path) as (server, client):
        server.turns = [*[says(bookmark(11))] * 4, alive]
        async with following(client) as follower:
            await follower.until(lambda: len(follower.of(Restored)) == 1)
        assert len(follower.of(Slowed)) == 1


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        (says(b"<html><body>Log in here\x1b[2J</body></html>\n"), "this is no watch event: <html>"),
        (says(b'{"type": "ADDED"\n'), "this is no watch event"),
        (says(b'{"type": "ADDED", "object": 7}\n'), "this is no watch event"),
        (says(b"[" * 100_000 + b"\n"), "this is no watch event"),
        (says(b"\xff\xfe\n"), "this is no watch event"),
        (says(line("ERROR", {"code": 500, "message": "etcd is\x1b gone"})), "the server ended the watch: etcd is"),
        (Refusal(503, b'{"message": "starting"}'), "starting"),
        (Refusal(429, b"<html>slow down</html>", "text/html"), "status 429"),
        (Refusal(401, b"{}"), "unauthorized"),
    ],
)
async def test_answers_that_are_no_watch_are_said_once_and_got_over(tmp_path: Path, turn: Any, why: str) -> None:
    async with scripted(tmp_path) as (server, client):
        server.turns = [turn, turn, turn, turn, turn, then_hold(line("ADDED", pod("web-1", 60)))]
        async with following(client) as follower:
            await follower.until(lambda: ("put", "web-1") in follower.keys())
            await follower.until(lambda: bool(follower.of(Restored)))
        (failed,) = follower.of(Failed)
        assert why in failed.why
        assert failed.why.isprintable()
        assert TOKEN not in failed.why
        assert len(follower.of(Restored)) == 1
        assert not follower.of(Unreadable)
        # Where going on from a place meets the same mess again and again, the list leads around it.
        assert (server.lists > 1) is not isinstance(turn, Refusal)


async def test_a_list_that_is_a_page_of_html_is_a_failure_not_a_refusal(tmp_path: Path) -> None:
    async with scripted(tmp_path) as (server, client):
        server.turns = [hold]
        server.refused_list = Refusal(200, b"<html>proxy</html>", "text/html")
        async with following(client) as follower:
            await follower.until(lambda: server.lists >= 3)
            assert len(follower.of(Failed)) == 1
            assert not follower.of(Unreadable)
            server.refused_list = None
            await follower.until(lambda: ("list", "web-0") in follower.keys())
        assert len(follower.of(Restored)) == 1


async def test_a_huge_event_is_left_out_and_the_next_one_taken(tmp_path: Path) -> None:
    huge = pod("huge", 20)
    huge["metadata"]["annotations"] = {"blob": "x" * (10 << 20)}
    async with scripted(tmp_path) as (server, client):
        server.turns = [then_hold(line("ADDED", huge), line("ADDED", pod("web-1", 21)))]
        async with following(client) as follower:
            await follower.until(lambda: ("put", "web-1") in follower.keys())
        (skipped,) = follower.of(Skipped)
        assert "8 MiB" in skipped.why
        assert follower.keys() == [("list", "web-0"), ("put", "web-1")]
        assert len(server.watches) == 1


async def test_events_torn_into_pieces_and_unknown_ones(tmp_path: Path) -> None:
    whole = line("SURPRISE", pod("x", 30)) + line("ADDED", {"metadata": {}}) + line("DELETED", pod("web-0", 31))
    async with scripted(tmp_path) as (server, client):

        async def torn(request: web.Request, response: web.StreamResponse) -> None:
            for begin in range(0, len(whole), 7):
                await response.write(whole[begin : begin + 7])
                await asyncio.sleep(0)
            await response.write(b'{"type": "ADDED", "object": {"half')  # cut: nothing is made of a half line

        server.turns = [torn, hold]
        async with following(client) as follower:
            await follower.until(lambda: len(server.watches) == 2)
        assert follower.keys() == [("list", "web-0"), ("gone", "web-0")]
        assert server.watches[1]["resourceVersion"] == "31"
        assert not follower.of(Failed)


async def test_what_may_be_listed_and_not_watched_is_listed_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.02)
    async with scripted(tmp_path) as (server, client):
        server.turns = [Refusal(403, b'{"message": "no watch for you"}')]
        async with following(client) as follower:
            await follower.until(lambda: server.lists >= 4)
        assert len(server.watches) == 1  # not asked again: each refusal stands in somebody's audit log
        (slowed,) = follower.of(Slowed)
        assert "may not be watched (forbidden)" in slowed.why
        assert len(follower.of(Listed)) >= 3


async def test_what_is_listed_only_says_so_again_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.02)
    async with scripted(tmp_path) as (server, client):
        server.turns = [Refusal(403)]
        async with following(client) as follower:
            await follower.until(lambda: bool(follower.of(Slowed)))
            server.refused_list = Refusal(503)
            await follower.until(lambda: bool(follower.of(Failed)))
            server.refused_list = None
            await follower.until(lambda: len(follower.of(Slowed)) == 2)
        assert not follower.of(Restored)
        assert len(follower.of(Failed)) == 1


async def test_one_kind_that_answers_again_wakes_those_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "BACKOFF", (0.02, 0.02, 0.02, 60.0))
    services = next(kind for kind in KINDS if kind.name == "services")
    async with scripted(tmp_path) as (server, client):
        away = asyncio.Event()

        async def until_away(_: web.Request, __: web.StreamResponse) -> None:
            await away.wait()

        server.turns = [until_away, Refusal(503), hold]
        server.services = Refusal(503)
        async with following(client, PODS, services) as follower:
            await follower.until(lambda: server.service_lists == 3)  # the next try would be in half a minute
            server.services = Refusal(200, b'{"items": [], "metadata": {"resourceVersion": "7"}}')
            away.set()
            await follower.until(
                lambda: any(isinstance(fact, Listed) and fact.kind is services for fact in follower.facts)
            )


async def test_a_refusal_after_it_worked_passes(tmp_path: Path) -> None:
    async with scripted(tmp_path) as (server, client):
        server.turns = [says(), Refusal(403), Refusal(403), then_hold(bookmark(11))]
        async with following(client) as follower:
            await follower.until(lambda: bool(follower.of(Restored)))
        (failed,) = follower.of(Failed)
        assert "forbidden" in failed.why


@pytest.mark.parametrize("status", [403, 404])
async def test_what_may_not_be_listed_is_told_once_and_left_alone(tmp_path: Path, status: int) -> None:
    async with scripted(tmp_path) as (server, client):
        server.refused_list = Refusal(status)
        async with following(client) as follower:
            await follower.until(lambda: bool(follower.of(Unreadable)))
            await asyncio.sleep(0.1)
        assert server.lists == 1
        assert server.watches == []
        (unreadable,) = follower.of(Unreadable)
        assert unreadable.refusals == (("pods", {403: "forbidden", 404: "not found"}[status]),)


async def test_the_older_version_of_an_api_is_followed_where_the_newer_is_missing(tmp_path: Path) -> None:
    newer = PODS._replace(path="/apis/pods.example/v2/pods", group="pods.example", fallback=PODS)
    async with scripted(tmp_path) as (server, client):
        server.turns = [says(expired()), then_hold(line("ADDED", pod("web-1", 60)))]
        async with following(client, newer) as follower:
            await follower.until(lambda: ("put", "web-1") in follower.keys())
        assert server.lists == 2
        assert {fact.kind.path for fact in follower.facts} == {newer.path}  # facts go by the kind that was asked for


async def test_an_api_that_goes_away_is_said_once_and_comes_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "BACKOFF", (0.02, 0.05))
    async with scripted(tmp_path) as (server, client):
        server.turns = [hold]
        async with following(client) as follower:
            await follower.until(lambda: len(server.watches) == 1)
            await server.stop()
            await follower.until(lambda: bool(follower.of(Failed)))
            await asyncio.sleep(0.3)
            (failed,) = follower.of(Failed)
            assert "can't be reached" in failed.why
            assert TOKEN not in failed.why
            await server.start()
            await follower.until(lambda: bool(follower.of(Restored)))
        assert server.lists == 1  # it goes on from where it was
        assert [asked["resourceVersion"] for asked in server.watches] == ["10", "10"]


async def test_a_silent_watch_is_asked_anew_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(watch_module, "STEADY_SECONDS", 0.04)
    async with scripted(tmp_path) as (server, client):
        server.turns = [hold]
        async with following(client) as follower:
            await follower.until(lambda: len(server.watches) >= 4)
        assert [type(fact) for fact in follower.facts] == [Listed]


async def test_an_expired_token_is_loaded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(tmp_path) as (server, client):
        server.turns = [says(), hold]
        server.accepted = "fresh"
        write_kubeconfig(tmp_path / "kubeconfig", server.address, "fresh")
        with pytest.raises(ClusterError, match="unauthorized"):
            await client.request("GET", "/version")  # credentials that were loaded a moment ago are not loaded again
        monkeypatch.setattr(client_module, "RENEW_SECONDS", 0.0)
        loaded = []
        real = client_module.load_credentials

        async def load(*arguments: Any) -> Any:
            loaded.append(arguments)
            return await real(*arguments)

        monkeypatch.setattr(client_module, "load_credentials", load)
        answers = await asyncio.gather(*(client.request("GET", "/version") for _ in range(5)))
        assert [answer["gitVersion"] for answer in answers] == ["v1.20.2"] * 5
        assert len(loaded) == 1
        async with following(client) as follower:
            await follower.until(lambda: len(server.watches) == 2)
        assert not follower.of(Failed)
