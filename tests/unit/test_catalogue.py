"""The catalogue: every row asks safely and says how much it matters, and a file of the user's is held to the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as any_of

from kubeshield_tui.cli.main import run
from kubeshield_tui.discovery.catalogue import HTTP, HTTPS, Row, Where, builtin, load
from kubeshield_tui.discovery.catalogue_file import parse
from kubeshield_tui.discovery.catalogue_rules import dangerous
from kubeshield_tui.discovery.targets_file import read_targets
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.endpoint import Conversation, Protocol, TlsMode
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.settings.paths import user_file

ROWS = builtin().rows
TALKS = [*(row.conversation for row in ROWS), HTTP, HTTPS]
TOKEN_PATH = "/latest/api/token"
MINE = """
[[row]]
component = "vault"
title = "Vault"
where = "workload"
ports = [8200, "8300-8302"]
tls = true
outside = "critical"
inside = "medium"
reference = "our wiki"

[[row.request]]
path = "/v1/sys/health"
facts = [{ name = "version", json = "version" }]
readings = [{ status = "2xx", body = "sealed", posture = "anonymous", says = "tells whether it is sealed" }]
"""


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "catalogue.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- what comes with the product


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.component)
def test_every_row_says_what_it_is_and_how_bad_it_is(row: Row) -> None:
    assert row.title
    assert row.reference
    assert row.ports
    assert bool(row.address) == (row.where is Where.METADATA)
    assert bool(row.group) == (row.where is not Where.WORKLOAD)
    # Whoever is outside is no better placed than a pod, as far as it matters.
    order = list(Severity)
    assert order.index(row.severity_outside) >= order.index(row.severity_inside)
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


def test_what_a_port_alone_tells() -> None:
    known = builtin()

    def told(port: int, protocol: Protocol = Protocol.TCP) -> str:
        row = known.of_port(port, protocol)
        return row.component if row else ""

    assert (told(6443), told(10250), told(10256)) == ("kube-apiserver", "kubelet", "kube-proxy-healthz")
    assert (told(443), told(8080), told(80), told(1)) == ("", "", "", "")  # several use it, or none
    assert (told(53), told(53, Protocol.UDP)) == ("cluster-dns-tcp", "cluster-dns")
    assert (told(4789), told(4789, Protocol.UDP)) == ("", "vxlan-iana")


def test_what_no_stranger_is_answered_is_not_asked() -> None:
    assert {row.component for row in ROWS if not row.asked} == {row.component for row in builtin().at(Where.OVERLAY)}


# --- the user's own


def test_rows_of_a_file_are_added_and_lie_over_the_built_in_ones(tmp_path: Path) -> None:
    changed = MINE.replace('"vault"', '"kubelet"').replace("[8200,", "[10250, 8200,").replace('"workload"', '"node"')
    known = load(written(tmp_path, MINE + changed))
    assert len(known.rows) == len(ROWS) + 1
    vault, kubelet = known.row("vault"), known.row("kubelet")
    assert vault is not None
    assert kubelet is not None
    assert vault.ports == (8200, 8300, 8301, 8302)
    assert (vault.severity_outside, vault.severity_inside) == (Severity.CRITICAL, Severity.MEDIUM)
    assert vault.conversation.tls is TlsMode.ON
    assert [each.path for each in kubelet.conversation.requests] == ["/v1/sys/health"]
    assert known.conversation_of("vault", 1) == vault.conversation
    assert known.at(Where.NODE)[0] is kubelet  # in the place of the one that it lies over
    assert builtin().row("vault") is None


def test_targets_are_what_the_users_rows_say(tmp_path: Path) -> None:
    targets = tmp_path / "targets.txt"
    targets.write_text("h:8443\nh:8200\nh:6443\n")
    known = load(written(tmp_path, MINE.replace("[8200,", "[8443,")))
    found = read_targets(targets, known)
    assert [each.component for each in found] == ["vault", "target", "kube-apiserver"]
    assert [each.path for each in found[0].conversation.requests] == ["/v1/sys/health"]


def test_at_an_address_of_metadata_the_users_row_comes_first(tmp_path: Path) -> None:
    mine = MINE.replace('"workload"', '"metadata"\naddress = "169.254.169.254"').replace("[8200,", "[80,")
    known = load(written(tmp_path, mine))
    assert known.component_of_target("169.254.169.254", 80) == "vault"
    assert builtin().component_of_target("169.254.169.254", 80) == "cloud-metadata"
    assert builtin().component_of_target("fd00:ec2::254", 80) == "aws-imds-ipv6"


@pytest.mark.parametrize(
    ("old", "new", "named", "hint"),
    [
        ("ports =", "port =", "row 1 (vault): unknown key 'port'", "'ports'"),
        ("json =", "jsn =", "row 1 (vault): request 1: facts 1: unknown key 'jsn'", "'json'"),
        ("path =", "pth =", "row 1 (vault): request 1: unknown key 'pth'", "'path'"),
        ("[[row]]", "[[rows]]", "unknown key 'rows'", "'row'"),
        ('"workload"', '"worklod"', "row 1 (vault): where: 'worklod'", "'workload'"),
        ('"critical"', '"criticl"', "row 1 (vault): outside: 'criticl'", "'critical'"),
        ('"anonymous"', '"anonymus"', "request 1 (): readings 1: posture: 'anonymus'", "'anonymous'"),
        ('"anonymous"', '"plain"', "request 1: readings: posture: plain", "auth-required"),
        ('title = "Vault"', "title = 7", "row 1 (vault): title: Expected `str`, got `int`", "[[row]]"),
        ('title = "Vault"\n', "", "row 1 (vault): Object missing required field `title`", "[[row]]"),
        ('title = "Vault"', 'title = " "', "title: it is empty", "Say"),
        ('"vault"', '"Vault!"', "component: no name", "Small letters"),
        ("[8200,", "[0,", "ports: '0'", "1 to 65535"),
        ('"8300-8302"', '"8302-8300"', "ports: '8302-8300'", "FROM-TO"),
        ('"8300-8302"', '"1-65535"', "ports: 65536 ports", "4,096"),
        ("[8200, ", "[] #", "ports: 0 ports", "1 to"),
        ("tls = true", 'address = "10.0.0.1"', "address: '10.0.0.1'", "others have none"),
        ('"workload"', '"metadata"', "address: ''", "have an IP address"),
        ("tls = true", 'datagram = "dns"', "datagram: not known, or not udp", "dns, ntp"),
        ("tls = true", 'protocol = "udp"', "protocol: TLS and requests are for tcp", "datagram"),
        ("tls = true", 'readings = [{ status = "200" }]', "readings: a row's own reading", "[[row.request]]"),
        ('"/v1/sys/health"', '"v1"', "request 1: path: 'v1'", "begins with /"),
        ('"/v1/sys/health"', '"/a b"', "request 1: path: '/a b'", "no space"),
        ('"/v1/sys/health"', '"/v1/secret/data"', "leads to credentials ('secret')", "anybody may know"),
        ('"/v1/sys/health"', '"/run/default/web"', "leads to a command ('run')", "anybody may know"),
        ('"/v1/sys/health"', '"/x"\nmethod = "POST"', "method: 'POST'", "GET or HEAD"),
        ('"/v1/sys/health"', '"/x"\nmethod = "PUT"', "method: PUT /x", TOKEN_PATH),
        ('"/v1/sys/health"', f'"{TOKEN_PATH}"\nmethod = "PUT"', f"method: PUT {TOKEN_PATH}", "keep_body = false"),
        ('"/v1/sys/health"', f'"{TOKEN_PATH}"', "leads to credentials ('token')", "anybody"),
        ('"/v1/sys/health"', '"/x"\nheaders = { Cookie = "a=b" }', "'Cookie' carries a credential", "Strangers"),
        ('"/v1/sys/health"', '"/x"\nheaders = { X-Vault-Token = "s.1" }', "carries a credential", "Strangers"),
        ('"/v1/sys/health"', '"/x"\nheaders = { Host = "other" }', "headers: 'Host'", "ours to say"),
        ('"/v1/sys/health"', '"/x"\nheaders = { A = "b\\r\\nc: d" }', "headers: 'A'", "line of ASCII"),
        ('status = "2xx"', 'status = "ok"', "readings: status: 'ok'", "a class"),
        ('status = "2xx"', 'status = "401"', "posture: anonymous", "Only a success"),
        ('status = "2xx", body = "sealed"', 'status = "none"', "posture: anonymous", "silence has none"),
        ('body = "sealed"', 'header = ": x"', "readings: header: ': x'", "fragment of its value"),
        ('body = "sealed"', 'certificate = "x"', "readings: certificate", "row itself"),
        ('"/v1/sys/health"', '"/x"\nkeep_body = false', "readings: body: no body is kept", "status and headers"),
        ('json = "version"', 'json = "version", header = "X"', "facts: 'version'", "one place"),
        ('name = "version"', 'name = "\\u001b[2J"', "facts: ", "A name"),
        ("\n[[row.request]]", '\n[[row.request]]\npath="/a"\n[[row.request]]\npath="/b"\n[[row.request]]', "3 requests",
         "Two at most"),
        ("\n[[row.request]]", MINE + "\n[[row.request]]", "row 2 (vault): component: it is there twice", "One row"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, named: str, hint: str) -> None:
    assert old in MINE
    path = written(tmp_path, MINE.replace(old, new, 1))
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert named.replace(" ()", "") in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_200_on_a_public_path_alone_is_never_open_to_anybody(tmp_path: Path) -> None:
    public = MINE.replace("/v1/sys/health", "/healthz")
    assert load(written(tmp_path, public)).row("vault")
    alone = public.replace('body = "sealed", ', "")
    with pytest.raises(SettingsError, match="is for anybody"):
        load(written(tmp_path, alone))
    load(written(tmp_path, alone.replace("tls = true", "unauthenticated = true")))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"[[row]\n", "line 1"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"row = 7", "row: Expected `array`, got `int`"),
        (b"row = [7]", "row 1: Expected `object`, got `int`"),
        (b"row = []", "0 rows"),
        (b"", "missing required field `row`"),
        (b"#" * (1 << 20) + b"\n", "larger than 1 MiB"),
        (MINE.encode() * 1 + b"".join(b"[[row]]\n" for _ in range(2)), "row 2: Object missing required field"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, content))
    assert named in caught.value.message
    assert caught.value.hint
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "none.toml")


def test_what_a_file_says_is_printable(tmp_path: Path) -> None:
    hostile = MINE.replace('"Vault"', '"\\u001b]0;owned"').replace("tells whether", "\\u001b[2J")
    row = load(written(tmp_path, hostile)).row("vault")
    assert row is not None
    assert row.title.isprintable()
    assert row.conversation.requests[0].readings[0].says.isprintable()
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, MINE.replace("ports =", '"\\u001b[2J" =')))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/iam/security-credentials/",
        "/latest/meta-data/identity-credentials/ec2/info",
        "/computeMetadata/v1/instance/service-accounts/default/token",
        "/computeMetadata/v1/instance/service-accounts/default/identity",
        "/metadata/identity/oauth2/token?api-version=2018-02-01",
        "/latest/user-data",
        "/metadata/instance/compute/userData",
        "/opc/v2/identity/key.pem",
        "/api/v1/secrets",
        "/api/v1/namespaces/default/serviceaccounts/default",
        "/latest/meta-data/IAM/Security-Credentials/",
        "/latest/%6deta-data/%69am/",
        "/latest/api/%74oken",
        "/latest/api/%2574oken",
        "/latest//./api//token",
        "/x/../latest/api/token",
        "/%",
        "/exec/default/web/main",
        "/x?exec=1",
        "/api/v1/nodes/n1/proxy/pods",
    ],
)
def test_paths_to_credentials_and_commands_are_known_in_any_spelling(path: str) -> None:
    assert dangerous(path)


KEYS = any_of.sampled_from(["row", "component", "title", "ports", "request", "path", "headers", "readings", "x"])
VALUES = any_of.recursive(
    any_of.text(max_size=8) | any_of.integers() | any_of.booleans() | any_of.floats(),
    lambda inner: any_of.lists(inner, max_size=3) | any_of.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def toml(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'
        case _:
            return repr(value)


@given(any_of.dictionaries(KEYS, VALUES, max_size=4))
def test_any_file_is_rows_or_a_sentence(told: dict) -> None:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in told.items())
    with pytest.raises(SettingsError) as caught:
        parse(text, "mine.toml")  # never a whole row
    assert caught.value.message.startswith("mine.toml: ")
    assert str(caught.value).isprintable()


# --- where it is looked for


def test_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeshield" / "catalogue.toml"
    path.parent.mkdir()
    path.write_text(MINE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_file("catalogue.toml") == path
    assert user_file("none.toml") is None
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    assert user_file("catalogue.toml") is None
    (tmp_path / ".config").symlink_to(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_file("catalogue.toml") == tmp_path / ".config" / "kubeshield" / "catalogue.toml"


def test_the_flag_is_checked_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    targets = tmp_path / "targets.txt"
    targets.write_text("127.0.0.1:1\n")
    audit = ["audit", "--no-discovery", "--targets", str(targets)]
    assert run([*audit, "--catalogue", str(tmp_path / "none.toml")]) == 2
    assert "--catalogue" in capsys.readouterr().err
    broken = written(tmp_path, MINE.replace("ports", "port"))
    assert run([*audit, "--catalogue", str(broken)]) == 2
    assert f"{broken}: row 1 (vault): unknown key 'port'" in capsys.readouterr().err
    assert run(["--catalogue", str(broken), "demo", "--headless"]) == 2
    assert "--catalogue" in capsys.readouterr().err
