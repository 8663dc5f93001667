"""The targets file: every form it knows, and every mistake named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as any_of

from kubeshield_tui.discovery import targets_file
from kubeshield_tui.discovery.targets_file import parse_line, read_targets
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.endpoint import Endpoint, Scope, TlsMode


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "targets.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("line", "places"),
    [
        ("203.0.113.10:6443", [("203.0.113.10", 6443)]),
        ("203.0.113.10:6443/tcp", [("203.0.113.10", 6443)]),
        ("  203.0.113.10:1\t", [("203.0.113.10", 1)]),
        ("[2001:db8::1]:443", [("2001:db8::1", 443)]),
        ("[2001:DB8:0:0::1]:443/tcp", [("2001:db8::1", 443)]),
        ("db.example.org:65535", [("db.example.org", 65535)]),
        ("DB.Example.org.:22", [("db.example.org.", 22)]),
        ("localhost:22", [("localhost", 22)]),
        ("host:8000-8002", [("host", 8000), ("host", 8001), ("host", 8002)]),
        ("host:8000-8000/tcp expect=blocked", [("host", 8000)]),
        ("host:1#comment", [("host", 1)]),
        ("", []),
        ("   # only a comment: 1.2.3.4:5", []),
    ],
)
def test_every_form(line: str, places: list[tuple[str, int]]) -> None:
    assert [(each.host, each.port) for each in parse_line(line, "t:1", "t:1")] == places


def test_expectations_source_and_order(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "# the estate\r\n198.51.100.1:443   expect=reachable  # why\r\n\r\nhost:22 expect=blocked\nhost:80-81\n",
    )
    found = read_targets(path)
    assert [(each.host, each.port, each.declared, each.source) for each in found] == [
        ("198.51.100.1", 443, "reachable", "targets.txt:2"),
        ("host", 22, "blocked", "targets.txt:4"),
        ("host", 80, "", "targets.txt:5"),
        ("host", 81, "", "targets.txt:5"),
    ]
    assert len({each.id for each in found}) == 4


def test_the_same_target_twice_is_one(tmp_path: Path) -> None:
    assert len(read_targets(written(tmp_path, "h:1\nH:1/tcp\nh:1-1\n"))) == 1


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("host", "is not a target"),
        ("host:", "is not a target"),
        (":80", "is not a target"),
        ("host:port", "is not a target"),
        ("host:80 blocked", "is not a target"),
        ("host:80 expect=", "is not a target"),
        ("http://host:80", "is not a target"),
        ("2001:db8::1:443", "is not a target"),
        ("host:123456", "is not a target"),
        ("host:-5", "is not a target"),
        ("host:0", "1 to 65535"),
        ("host:65536", "1 to 65535"),
        ("host:90-80", "first not above the last"),
        ("host:1-65536", "1 to 65535"),
        ("[fe80::1%eth0]:80", "another interface on every vantage"),
        ("host:53/sctp", "'sctp' is not a protocol"),
        ("host:80 expect=open", "expect=open"),
        ("host:80 component=", "is not a target"),
        ("host:80 component=kubelt", "component=kubelt is not in the catalogue"),
        ("host:80 compnent=kubelet", "is not a target"),
        ("host:53 component=cluster-dns", "cluster-dns speaks udp"),
        ("[host]:80", "is not a target"),
        ("[1:2]:80", "no IP address and no host name"),
        ("[10.0.0.1:80]:80", "no IP address"),
        ("-host:80", "no IP address and no host name"),
        ("ho_st:80", "no IP address and no host name"),
        ("a..b:80", "no IP address and no host name"),
        ("10.0.0:80", "no IP address and no host name"),
        ("10.0.0.256:80", "no IP address and no host name"),
        ("10.0.0.0/24:80", "no IP address and no host name"),
        (f"{'a' * 64}:80", "no IP address and no host name"),
        (f"{'a.' * 127}a:80", "no IP address and no host name"),
    ],
)
def test_every_mistake_is_named_with_file_and_line(tmp_path: Path, line: str, named: str) -> None:
    path = written(tmp_path, f"good:1\n\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        read_targets(path)
    assert f"{path}:3" in caught.value.message
    assert named in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_files_that_are_none(tmp_path: Path) -> None:
    cases = [
        (tmp_path / "none.txt", "No such file"),
        (tmp_path, "directory"),
        (written(tmp_path, b"\xff\xfe\x00"), "not a text file"),
    ]
    for path, named in cases:
        with pytest.raises(SettingsError, match=named) as caught:
            read_targets(path)
        assert str(path) in caught.value.message
    for text in ("", "# nothing\n\n"):
        with pytest.raises(SettingsError, match="no target in it"):
            read_targets(written(tmp_path, text))


def test_a_file_that_names_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets_file, "TARGETS_LIMIT", 3)
    assert len(read_targets(written(tmp_path, "h:1-2\nh:3\n"))) == 3
    path = written(tmp_path, "h:1-2\nh:3-4\n")
    with pytest.raises(SettingsError, match="more than 3 targets") as caught:
        read_targets(path)
    assert f"{path}:2" in caught.value.message


def test_what_a_target_is_thought_to_be() -> None:
    def one(line: str) -> tuple[str, bool, tuple[str, ...]]:
        found = next(parse_line(line, "t:1", "t:1"))
        talk = found.conversation
        return found.component, talk.tls is not TlsMode.OFF, tuple(request.path for request in talk.requests)

    assert one("h:6443")[:2] == ("kube-apiserver", True)
    assert one("h:10250")[:2] == ("kubelet", True)
    assert one("h:10255")[:2] == ("kubelet-read-only", False)
    assert one("h:2379")[:2] == ("etcd", True)
    assert one("169.254.169.254:80")[0] == "cloud-metadata"
    assert one("h:443") == ("target", True, ("/",))
    assert one("h:80") == ("target", False, ("/",))
    assert one("h:5432") == ("target", False, ())  # nothing is sent to a protocol that is not known


def test_a_target_is_asked_as_the_component_that_its_line_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "10.0.0.5:9443 component=kube-scheduler expect=blocked\n10.0.0.5:9443\n"
        "[fd00:ec2::254]:80 component=aws-imds-ipv6\n169.254.169.254:80\n"
        "169.254.169.254:80 expect=blocked component=aws-imds-token\n10.0.0.6:53/udp component=cluster-dns\n",
    )
    found = read_targets(path)
    assert [(each.component, each.declared, each.group, each.scope) for each in found] == [
        ("kube-scheduler", "blocked", "control plane", Scope.GLOBAL),
        ("target", "", "targets", Scope.GLOBAL),
        ("aws-imds-ipv6", "", "cloud metadata", Scope.NODE),
        ("cloud-metadata", "", "targets", Scope.NODE),
        ("aws-imds-token", "blocked", "cloud metadata", Scope.NODE),  # at one address with the one before it
        ("cluster-dns", "", "targets", Scope.GLOBAL),
    ]
    assert len({each.id for each in found}) == 6
    assert found[0].conversation.tls is TlsMode.ON
    assert [request.path for request in found[0].conversation.requests] == ["/healthz", "/metrics"]


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("127.0.0.1", Scope.NODE),
        ("[::1]", Scope.NODE),
        ("localhost", Scope.NODE),
        ("169.254.169.254", Scope.NODE),
        ("[fe80::1]", Scope.NODE),
        ("10.0.0.1", Scope.GLOBAL),
        ("example.org", Scope.GLOBAL),
    ],
)
def test_an_address_that_is_another_target_on_every_host(host: str, scope: Scope) -> None:
    assert next(parse_line(f"{host}:80", "t:1", "t:1")).scope is scope


def tried(line: str) -> list[Endpoint] | SettingsError:
    try:
        return list(parse_line(line, "t:1", "t:1"))
    except SettingsError as error:
        return error


@given(any_of.text(max_size=60) | any_of.from_regex(r"[\w.:\[\]-]{1,12}:[0-9/a-z =-]{1,12}", fullmatch=True))
def test_any_line_is_targets_or_a_sentence(line: str) -> None:
    found = tried(line)
    if isinstance(found, SettingsError):
        assert found.message.startswith("t:1: ")
        assert str(found).isprintable()
    else:
        assert all(1 <= each.port <= 65535 and each.host.isprintable() for each in found)


def test_an_endless_line_is_refused_without_reading_it_whole() -> None:
    with pytest.raises(SettingsError, match="/dev/zero:1: a line of more than"):
        read_targets(Path("/dev/zero"))
