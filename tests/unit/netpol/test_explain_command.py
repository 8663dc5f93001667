"""`kubeshield explain netpol`: the contract of its output, its errors, what it loads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kubeshield_tui.cli.main import run
from tests.architecture.test_imports import command, loaded_after
from tests.unit.netpol.stage import PODS, SHOP, policy

DB = "podSelector: {matchLabels: {app: db}}"
Shown = pytest.CaptureFixture[str]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(SHOP + PODS)
    (tmp_path / "policy.yaml").write_text(
        policy(f"{DB}\ningress: [{{from: [{{podSelector: {{matchLabels: {{app: api}}}}}}], ports: [{{port: 5432}}]}}]")
    )
    return tmp_path


def explain(folder: Path, *flags: str) -> int:
    return run(["explain", "netpol", "--manifests", str(folder), *flags])


def question(source: str = "shop/web", destination: str = "shop/db", port: str = "5432") -> list[str]:
    return ["--from", source, "--to", destination, "--port", port]


def test_json_of_one_question(shop: Path, capsys: Shown) -> None:
    assert explain(shop, *question(), "--format", "json") == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert shown.err == ""
    assert document["verdict"] == "deny"
    (effect,) = document["directions"][1]["policies"]
    assert effect["near_miss"].endswith("podSelector app=api: pod shop/web has app=web")
    assert effect["file"] == str(shop / "policy.yaml")


@pytest.mark.parametrize(("source", "verdict"), [("shop/db", "ALLOW"), ("203.0.113.9", "DENY")])
def test_text_and_exit_code_0_whatever_the_verdict(shop: Path, capsys: Shown, source: str, verdict: str) -> None:
    assert explain(shop, *question(source)) == 0
    assert capsys.readouterr().out.startswith(f"{source} -> shop/db:5432/tcp   {verdict}\n")


def test_connectivity_as_json_and_as_text(shop: Path, capsys: Shown) -> None:
    assert explain(shop, "--connectivity", "--format", "json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert ("ops/web", "shop/web") in {(item["from"], item["to"]) for item in listed}
    assert all(set(item) == {"from", "to", "connections"} for item in listed)
    assert ("shop/web", "shop/db") not in {(item["from"], item["to"]) for item in listed}
    assert explain(shop, "--connectivity") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(listed)


def test_connectivity_of_nothing_is_an_empty_array(tmp_path: Path, capsys: Shown) -> None:
    (tmp_path / "a.yaml").write_text("")
    assert explain(tmp_path, "--connectivity", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("given", ["extra.txt", "-"])
def test_several_paths_and_standard_input(
    shop: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    extra = shop / "extra.txt"
    extra.write_text(policy(f"{DB}\ningress: [{{}}]", "extra"))
    monkeypatch.chdir(shop)
    with extra.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert run(["explain", "netpol", "--manifests", str(shop), given, *question()]) == 0
    assert "ALLOW" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "verdict"), [((), "UNKNOWN"), (("--cni", "hairpin=no,ipBlock-matches-pods=yes"), "ALLOW"),
                          (("--cni", "ipblock-matches-pods=yes", "--cni", "ipblock-matches-pods=no"), "DENY")]
)  # fmt: skip
def test_what_is_left_to_the_plugin_can_be_stated(
    shop: Path, capsys: Shown, said: tuple[str, ...], verdict: str
) -> None:
    (shop / "policy.yaml").write_text(policy(f"{DB}\ningress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/8}}}}]}}]"))
    assert explain(shop, *question(), *said) == 0
    assert f"5432/tcp   {verdict}" in capsys.readouterr().out


def test_icmp_needs_no_port(shop: Path, capsys: Shown) -> None:
    assert explain(shop, "--from", "shop/web", "--to", "shop/db", "--protocol", "icmp") == 0
    assert "UNKNOWN" in capsys.readouterr().out


def test_what_can_not_be_used_is_said_and_the_rest_is_answered(shop: Path, capsys: Shown) -> None:
    (shop / "bad.yaml").write_text(policy("podSelecter: {}", "bad").lstrip())
    assert explain(shop, *question(), "--format", "json") == 0
    shown = capsys.readouterr()
    assert f"{shop}/bad.yaml:6: NetworkPolicy shop/bad: spec.podSelecter: is not a field known here" in shown.err
    assert json.loads(shown.out)["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (question("shop/wep"), "--from shop/wep is not in the manifests"),
        (question("shop/wep"), "shop/web"),
        (question(destination="service:shop/db"), "--to service:shop/db"),
        (question(destination="node:n9"), "node:n1"),
        (question("service:shop/db"), "opens no connections"),
        (question("shop"), "--from 'shop'"),
        (question("a/b/c"), "--from 'a/b/c'"),
        (question("10.0.0.300"), "--from '10.0.0.300'"),
        (question("10.0.0.0/8"), "--from"),
        (question(port="0"), "--port 0"),
        (question(port="70000"), "--port 70000"),
        (["--from", "shop/web"], "--to, --port missing"),
        ([], "--from, --to, --port missing"),
        ([*question(), "--protocol", "tls"], "--protocol 'tls'"),
        ([*question(), "--connectivity"], "--connectivity stands beside --from"),
        ([*question(), "--cni", "enforces=yes"], "--cni 'enforces=yes' says nothing of what policies say"),
        ([*question(), "--cni", "prod:hairpin=yes"], "one cluster is asked"),
        ([*question(), "--cni", "ipblock=yes"], "ipblock-matches-pods"),
        (["--connectivity", "--protocol", "UDP"], "--connectivity stands beside --protocol"),
    ],
)
def test_wrong_use_is_named_with_exit_code_2(shop: Path, capsys: Shown, flags: list[str], said: str) -> None:
    assert explain(shop, *flags) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (question(), "--manifests missing"),
        (["--manifests", "x.yaml", "--context", "prod", *question()], "--manifests stands beside --context"),
        (["--kubeconfig", "/no/such/config", *question()], "/no/such/config"),
    ],
)
def test_files_or_one_live_cluster(capsys: Shown, flags: list[str], said: str) -> None:
    assert run(["explain", "netpol", *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_path_that_is_not_there(tmp_path: Path, capsys: Shown) -> None:
    assert explain(tmp_path / "none", *question()) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_it_loads_neither_the_screens_nor_a_cluster(shop: Path) -> None:
    loaded = loaded_after(command("explain", "netpol", "--manifests", str(shop), *question()))
    assert loaded & {"textual", "rich", "kubernetes", "asyncssh", "httpx", "nmap", "aiohttp", "asyncio"} == set()
    assert "yaml" not in loaded_after(command("explain", "netpol", "--help"))
