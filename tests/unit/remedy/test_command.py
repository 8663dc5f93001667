"""`kubeshield remedy`: data on standard output, talk on standard error, errors that name the flag."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kubeshield_tui.cli.main import run
from kubeshield_tui.cli.world_source import Source
from kubeshield_tui.evidence.netpol.world import World
from tests.architecture.test_imports import command, loaded_after
from tests.unit.remedy.estates import API, BASE, METADATA, PODS, policy

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    (tmp_path / "estate.yaml").write_text("\n---\n".join((BASE, *PODS)))
    return tmp_path


def remedy(folder: Path, *arguments: str) -> int:
    return run(["remedy", *arguments, "--manifests", str(folder)])


@pytest.mark.parametrize(
    ("walls", "closed"), [(["api"], {API}), (["metadata"], {METADATA}), (["metadata", "api"], {API, METADATA})]
)
def test_the_manifest_is_all_that_standard_output_gets(
    estate: Path, capsys: Shown, walls: list[str], closed: set[str]
) -> None:
    assert remedy(estate, *walls, "-n", "shop") == 0
    shown = capsys.readouterr()
    made = yaml.safe_load(shown.out)
    assert (made["kind"], made["metadata"]["name"], made["metadata"]["namespace"]) == (
        "NetworkPolicy",
        "kubeshield-egress",
        "shop",
    )
    excepted = {
        address.partition("/")[0]
        for rule in made["spec"]["egress"]
        for peer in rule["to"]
        for address in peer.get("ipBlock", {}).get("except", ())
    }
    assert excepted & {API, METADATA} == closed
    assert "closes     shop/cart" in shown.err


def test_what_would_be_cut_and_what_is_not_sure_are_told(estate: Path, capsys: Shown) -> None:
    assert remedy(estate, "api", "-n", "shop") == 0
    told = capsys.readouterr().err
    assert f"closes     shop/cart -> {API}:6443/TCP" in told
    assert f"not sure   shop/web -> {API}:6443/TCP" in told
    assert "whether a pod always reaches its own node is not specified" in told
    assert "cuts       shop/cart -> node:n1:10250/TCP" in told


def test_where_another_policy_admits_it_there_is_nothing_to_write(estate: Path, capsys: Shown) -> None:
    (estate / "open.yaml").write_text(policy("shop", "open", policyTypes=["Egress"], egress=[{}]))
    assert remedy(estate, "metadata", "-n", "shop") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no policy  other policies isolate these pods already" in shown.err
    assert "change     NetworkPolicy shop/open egress[0] admits it" in shown.err


def test_where_it_is_denied_already_nothing_is_needed(estate: Path, capsys: Shown) -> None:
    (estate / "deny.yaml").write_text(policy("shop", "deny", policyTypes=["Egress"]))
    assert remedy(estate, "metadata", "-n", "shop") == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "no policy  none is needed: what is there denies it\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["api", "-n", "shoop"], "--namespace shoop is not in the manifests"),
        (["api", "-n", "Shop!"], "--namespace"),
        (["api", "-n", "shop", "--address", "api.example.org"], "--address 'api.example.org' is no IP address"),
        (["metadata", "-n", "shop", "--address", "192.0.2.1"], "--address has no meaning without api"),
        (["api", "-n", "shop", "--context", "prod"], "--manifests stands beside --context"),
        (["api", "-n", "shop", "--output", "/nowhere/policy.yaml"], "--output /nowhere/policy.yaml: No such file"),
    ],
)
def test_wrong_use_names_the_flag(estate: Path, capsys: Shown, arguments: list[str], says: str) -> None:
    assert remedy(estate, *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err


@pytest.mark.parametrize("arguments", [["remedy"], ["remedy", "walls", "-n", "shop"], ["remedy", "api"]])
def test_wrong_words_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run(arguments)
    assert raised.value.code == 2


def test_without_addresses_of_the_api_nothing_is_guessed(tmp_path: Path, capsys: Shown) -> None:
    (tmp_path / "shop.yaml").write_text("\n---\n".join(PODS))
    assert remedy(tmp_path, "api", "-n", "shop") == 2
    assert "name them with --address" in capsys.readouterr().err
    assert remedy(tmp_path, "api", "-n", "shop", "--address", "192.0.2.7") == 0
    assert "- 192.0.2.7/32  # the API, as named" in capsys.readouterr().out


def test_a_file_is_written_once(estate: Path, tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "policy.out"
    assert remedy(estate, "api", "-n", "shop", "--output", str(path)) == 0
    assert yaml.safe_load(path.read_text())["kind"] == "NetworkPolicy"
    assert capsys.readouterr().out == ""
    assert remedy(estate, "api", "-n", "shop", "--output", str(path)) == 2
    assert "Name a file that does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("https://203.0.113.10:6443", "203.0.113.10"),
        ("https://[2001:db8::1]:6443", "2001:db8::1"),
        ("https://127.0.0.1:6443", ""),
        ("https://api.example.org", ""),
        ("https://[broken", ""),
        ("", ""),
    ],
)
def test_the_servers_address_counts_where_it_is_the_same_elsewhere(server: str, address: str) -> None:
    assert Source(World(), "c", (), True, server).server_address == address


def test_manifests_load_no_cluster_and_no_screen(estate: Path) -> None:
    loaded = loaded_after(command("remedy", "api", "-n", "shop", "--manifests", str(estate)))
    assert loaded & {"textual", "rich", "kubernetes", "asyncssh", "httpx", "aiohttp"} == set()
