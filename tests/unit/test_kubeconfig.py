"""Kubeconfigs: merged as kubectl does, every mistake named with its place; then who does not let us in."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as any_of

from kubeshield_tui.cluster import client as client_module
from kubeshield_tui.cluster import credentials
from kubeshield_tui.cluster.client import NotReadable, connect
from kubeshield_tui.cluster.kubeconfig import RANGE_EXTENSION, Kubeconfig, kubeconfig_paths, read_kubeconfig
from kubeshield_tui.errors import ClusterError, SettingsError
from kubeshield_tui.range.range import TrainingRange

GOOD = f"""
apiVersion: v1
kind: Config
current-context: prod
clusters:
- name: one
  cluster:
    server: https://203.0.113.10:6443
    extensions:
    - name: other
      extension: {{address: nothing}}
    - name: {RANGE_EXTENSION}
      extension: {{address: "203.0.113.99:6443", simulated: a range}}
- name: two
  cluster: {{server: "https://two.example.org"}}
users:
- name: token
  user: {{token: hunter2}}
- name: plugin
  user:
    exec: {{apiVersion: client.authentication.k8s.io/v1, command: cloud-login, args: [get, token]}}
contexts:
- name: prod
  context: {{cluster: one, user: token, namespace: shop}}
- name: staging
  context: {{cluster: two, user: plugin}}
- name: dangling
  context: {{cluster: gone, user: gone}}
- name: empty
"""


def written(folder: Path, text: str | bytes, name: str = "config") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(path: Path | None) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read_kubeconfig(path)
    assert caught.value.hint
    return caught.value


def test_contexts_with_cluster_user_plugin_and_range_extension(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    read = read_kubeconfig(path)
    assert (read.current, read.files) == ("prod", (path,))
    assert [entry.name for entry in read.contexts] == ["prod", "staging", "dangling", "empty"]
    prod, staging = read.context("prod"), read.context("staging")
    assert (prod.server, prod.user, prod.namespace, prod.plugin) == (
        "https://203.0.113.10:6443",
        "token",
        "shop",
        "",
    )
    assert (prod.shown_address, prod.simulated) == ("203.0.113.99:6443", "a range")
    assert (staging.server, staging.plugin, staging.shown_address) == ("https://two.example.org", "cloud-login", "")
    assert (read.context("dangling").cluster, read.context("dangling").server) == ("gone", "")
    assert read.context("empty").cluster == ""
    assert "hunter2" not in repr(read)


def test_an_unknown_context_names_the_nearest_and_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    with pytest.raises(SettingsError) as caught:
        read_kubeconfig(path).context("prdo")
    assert "'prdo'" in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint == "Did you mean prod?"
    with pytest.raises(SettingsError) as caught:
        read_kubeconfig(path).context("zzz")
    assert caught.value.hint == "Contexts there: prod, staging, dangling, empty"
    with pytest.raises(SettingsError) as caught:
        read_kubeconfig(path).context("\x1b[2Jprod\n")
    assert str(caught.value).isprintable()


def test_no_current_context_is_said(tmp_path: Path) -> None:
    read = read_kubeconfig(written(tmp_path, ""))
    assert (read.current, read.contexts) == ("", ())
    with pytest.raises(SettingsError, match="no current-context"):
        read.context(read.current)
    with pytest.raises(SettingsError, match="Contexts there: none"):
        read.context("prod")


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path / "none") in refused(tmp_path / "none").message
    assert str(tmp_path) in refused(tmp_path).message  # a folder
    missing = [str(tmp_path / "a"), str(tmp_path / "b")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(missing))
    assert all(name in refused(None).message for name in missing)
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(tmp_path / ".kube" / "config") in refused(None).message
    assert "kubeshield demo" in refused(None).hint


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("clusters:\n- name: a\n\tcluster: {}\n", " line 3: "),
        ("contexts: [\n", " line 2: "),
        ("a: b: c\n", " line 1: "),
        ("a: !!python/object:os.system {}\n", " line 1: "),
        ("{[]: 1}: 2\n", " line 1: "),
        (b"\xff\xfe", "not a text file"),
        ("- a list\n", "expected a mapping, found list"),
        ("just words\n", "expected a mapping, found str"),
        ("42\n", "expected a mapping, found int"),
        ("contexts: {a: b}\n", "contexts: expected a list, found dict"),
        ("clusters: words\n", "clusters: expected a list, found str"),
        ("users: 7\n", "users: expected a list, found int"),
        ("contexts:\n- name: good\n- words\n", "contexts[1]: expected a mapping with a name"),
        ("users:\n- user: {}\n", "users[0]: expected a mapping with a name"),
        ("clusters:\n- name: 7\n", "clusters[0]: expected a mapping with a name"),
        ("clusters:\n- {name: a, cluster: [x]}\n", "clusters[0].cluster: expected a mapping"),
        ("contexts:\n- {name: a, context: words}\n", "contexts[0].context: expected a mapping"),
    ],
)
def test_a_broken_file_is_named_with_line_or_field(tmp_path: Path, text: str | bytes, named: str) -> None:
    path = written(tmp_path, text)
    error = refused(path)
    assert str(path) in error.message
    assert named in error.message
    assert str(error).isprintable()


def test_in_a_list_the_first_that_names_something_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = written(
        tmp_path,
        "contexts:\n- {name: a, context: {cluster: c, user: u}}\nclusters:\n- {name: c, cluster: {server: first}}\n",
        "first",
    )
    second = written(
        tmp_path,
        "current-context: b\ncontexts:\n- {name: a, context: {cluster: other}}\n- {name: b, context: {cluster: c}}\n"
        "clusters:\n- {name: c, cluster: {server: second}}\nusers:\n- {name: u, user: {exec: {command: plug}}}\n",
        "second",
    )
    third = written(tmp_path, "current-context: a\n", "third")
    listed = [first, tmp_path / "missing", second, third]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["", *map(str, listed), ""]))
    assert kubeconfig_paths(None) == tuple(listed)
    read = read_kubeconfig(None)
    assert read.files == (first, second, third)
    assert read.current == "b"
    assert [(entry.name, entry.cluster, entry.server) for entry in read.contexts] == [
        ("a", "c", "first"),
        ("b", "c", "first"),
    ]
    assert read.context("a").plugin == "plug"  # a user of one file, a context of another
    assert kubeconfig_paths(first) == (first,)  # a flag outweighs the environment
    broken = written(tmp_path, "users: {}\n-\n", "third")
    assert str(broken) in refused(None).message


def tried(path: Path) -> Kubeconfig | SettingsError:
    try:
        return read_kubeconfig(path)
    except SettingsError as error:
        return error


JSON = any_of.recursive(
    any_of.none() | any_of.booleans() | any_of.integers() | any_of.floats() | any_of.text(max_size=8),
    lambda inner: any_of.lists(inner, max_size=3) | any_of.dictionaries(any_of.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BODY = any_of.dictionaries(any_of.sampled_from(["cluster", "user", "namespace", "server", "exec", "x"]), JSON)
ITEM = any_of.fixed_dictionaries(
    {}, optional={"name": any_of.sampled_from(["a", "b"]) | JSON, "cluster": BODY | JSON, "user": BODY, "context": BODY}
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    text=any_of.fixed_dictionaries(
        {},
        optional={
            "clusters": any_of.lists(ITEM, max_size=2) | JSON,
            "users": any_of.lists(ITEM, max_size=2) | JSON,
            "contexts": any_of.lists(ITEM, max_size=2) | JSON,
            "current-context": JSON,
        },
    )
)
def test_any_mapping_is_read_or_refused_in_a_sentence(tmp_path: Path, text: dict[str, object]) -> None:
    path = written(tmp_path, json.dumps(text))  # JSON is YAML
    read = tried(path)
    if isinstance(read, SettingsError):
        assert str(path) in read.message
        assert str(read).isprintable()
    else:
        shown = [text for entry in read.contexts for text in (entry.name, entry.server, entry.user, entry.plugin)]
        assert all(text.isprintable() for text in shown)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=any_of.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    assert str(tried(written(tmp_path, data))).isprintable()


# --- from a kubeconfig to a server that answers


def config(folder: Path, server: str, **user: object) -> Path:
    cluster = {"name": "c", "cluster": {"server": server}}
    context = {"name": "here", "context": {"cluster": "c", "user": "someone"}}
    text = {"clusters": [cluster], "users": [{"name": "someone", "user": user}], "contexts": [context]}
    return written(folder, json.dumps({**text, "current-context": "here"}))


def plugin(folder: Path, body: str) -> dict[str, object]:
    path = folder / "login-plugin"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}


@asynccontextmanager
async def serving(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def version(request: web.Request) -> web.Response:
    known = request.headers.get("Authorization") == "Bearer from-plugin"
    return web.json_response({"gitVersion": "v1.33.0"} if known else {"message": "no"}, status=200 if known else 401)


async def refused_by(path: Path, context: str = "here") -> ClusterError:
    with pytest.raises(ClusterError) as caught:
        await connect(context, path, limit=5)
    assert str(caught.value).isprintable()
    return caught.value


async def test_the_range_lets_its_own_kubeconfig_in_and_no_other_token(tmp_path: Path) -> None:
    async with TrainingRange() as training:
        client = await connect("range", training.kubeconfig)
        assert client.version == training.scenario.version
        await client.close()
        text = json.loads(training.kubeconfig.read_text())
        text["users"][0]["user"]["token"] = "hunter2"
        error = await refused_by(written(tmp_path, json.dumps(text)), "range")
        assert "user trainee" in error.message
        assert "(401)" in error.message
        assert "hunter2" not in str(error)
        del text["clusters"][0]["cluster"]["certificate-authority-data"]
        error = await refused_by(written(tmp_path, json.dumps(text)), "range")
        assert "TLS" in error.message
        assert "certificate-authority" in error.hint


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{taken.getsockname()[1]}"
        error = await refused_by(config(tmp_path, server, token="t"))
    assert server in error.message
    assert "can't be reached" in error.message


async def test_a_context_without_a_server(tmp_path: Path) -> None:
    error = await refused_by(config(tmp_path, "", token="t"))
    assert "no server" in error.message


async def test_a_server_that_is_something_else(tmp_path: Path) -> None:
    def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>\x1b[2J", content_type="text/html")

    async with serving(page) as server:
        error = await refused_by(config(tmp_path, server, token="t"))
        assert "no JSON" in error.message
        assert error.hint == "Is this a Kubernetes API?"
        error = await refused_by(config(tmp_path, server.replace("http:", "https:"), token="t"))
        assert "127.0.0.1" in error.message
    async with serving(lambda _: web.json_response(["a list"])) as server:
        assert "no object" in (await refused_by(config(tmp_path, server, token="t"))).message


async def test_a_plugin_that_works(tmp_path: Path) -> None:
    token = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    async with serving(version) as server:
        path = config(tmp_path, server, **plugin(tmp_path, f"echo '{json.dumps(token)}'"))
        before = path.read_bytes()
        client = await connect("here", path)
        assert client.version == "v1.33.0"
        await client.close()
        assert path.read_bytes() == before  # read-only means the user's kubeconfig too


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("echo 'log in first' >&2; exit 3", "log in first"),
        ("echo no-json", "decode"),
        ("""echo '{"kind": "ExecCredential"}'""", "apiVersion"),
    ],
)
async def test_a_plugin_that_fails_is_named_with_what_it_said(tmp_path: Path, body: str, named: str) -> None:
    async with serving(version) as server:
        error = await refused_by(config(tmp_path, server, **plugin(tmp_path, body)))
    assert str(tmp_path / "login-plugin") in error.message
    assert named in error.message
    assert error.hint


async def test_a_plugin_that_hangs_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "PLUGIN_SECONDS", 0.5)
    os.mkfifo(tmp_path / "pipe")
    hold = os.open(tmp_path / "pipe", os.O_RDWR)
    script = plugin(tmp_path, f"echo $$ > {tmp_path}/pid; read line < {tmp_path}/pipe")
    error = await refused_by(config(tmp_path, "http://127.0.0.1:1", **script))
    os.write(hold, b"\n")  # whatever became of the plugin: now it can end, and the loop takes note of it
    process = Path("/proc") / (tmp_path / "pid").read_text().strip()
    while process.exists():
        await asyncio.sleep(0.01)
    os.close(hold)
    assert f"`{tmp_path / 'login-plugin'}` did not end within 0.5 s" in error.message


def listing(items: int, *, expired: int) -> Callable[[web.Request], web.Response]:
    """A list of `items` in pages, whose second page is `expired` times forgotten."""
    left = [expired]

    def answer(request: web.Request) -> web.Response:
        if request.path == "/version":
            return web.json_response({"gitVersion": "v1"})
        limit, begin = int(request.query["limit"]), int(request.query.get("continue", 0))
        if begin and left[0]:
            left[0] -= 1
            return web.json_response({"kind": "Status", "code": 410, "message": "too old"}, status=410)
        page: list[object] = [{"n": number} for number in range(begin, min(begin + limit, items))]
        token = {"continue": str(begin + limit)} if begin + limit < items else {}
        return web.json_response({"metadata": token, "items": [*page, "mess", None]})

    return answer


@pytest.mark.parametrize(("items", "expired"), [(0, 0), (3, 0), (7, 0), (9, 0), (10, 1), (10, 2)])
async def test_lists_are_read_in_pages_and_begun_anew_when_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: int, expired: int
) -> None:
    monkeypatch.setattr(client_module, "PAGE", 3)
    async with serving(listing(items, expired=expired)) as server:
        client = await connect("here", config(tmp_path, server, token="t"))
        numbers = await client.collect("/api/v1/pods", lambda raw: raw["n"] if raw["n"] != 1 else None)
        assert numbers == [number for number in range(items) if number != 1]  # none twice, none lost
        await client.close()
    async with serving(listing(10, expired=1000)) as server:  # forgotten again and again: that ends too
        client = await connect("here", config(tmp_path, server, token="t"))
        with pytest.raises(NotReadable, match="expired"):
            await client.collect("/api/v1/pods", lambda raw: raw)
        await client.close()
