"""The agent's lines: what we send is small, what comes back is ours or a ProbeError, and old Pythons understand it."""

from __future__ import annotations

import ast
import base64
import json
import shlex
import socket
import ssl
import subprocess
import sys
import urllib.parse
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as any_of

from kubeshield_tui.errors import ProbeError
from kubeshield_tui.model.endpoint import Conversation, Request, TlsMode
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Posture, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.certificate import read_certificate
from kubeshield_tui.range.certificates import Authority

AGENT = resources.files("kubeshield_tui.probes").joinpath("agent.py").read_bytes()
PROBE = Probe(endpoint=EndpointId("e"), vantage=VantageId("v"), host="127.0.0.1", port=1)
OPEN = {"op": "result", "id": "0", "state": "open", "reason": "syn-ack", "attempts": [["open", "syn-ack", 0.5]]}


def pythons() -> list[str]:
    """This Python and every other one of pyenv that can run the agent (2.7 can't)."""
    found = Path.home().glob(".pyenv/versions/3.*/bin/python")
    return [sys.executable, *(str(path) for path in sorted(found))]


def take(told: dict[str, Any]) -> Observation | ProbeError:
    try:
        return protocol.observation(PROBE, told, 1.0, json.dumps(told).encode())
    except ProbeError as error:
        return error


def texts(value: Any) -> list[str]:
    """All text inside a record."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple | list):
        return [text for item in value for text in texts(item)]
    fields = getattr(value, "__struct_fields__", ())
    return [text for field in fields for text in texts(getattr(value, field))]


# --- what we send


def test_the_bootstrap_is_short_and_needs_no_quoting_care() -> None:
    assert sum(len(part) for part in protocol.BOOTSTRAP) <= 200
    assert len(shlex.join(protocol.BOOTSTRAP)) <= 200
    assert "'" not in protocol.BOOTSTRAP[2]
    query = urllib.parse.urlencode([("command", part) for part in protocol.BOOTSTRAP])
    assert len(query) <= 300  # it travels in an exec's URL


def test_the_agent_is_one_line_that_the_bootstrap_can_read() -> None:
    line = protocol.agent_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert zlib.decompress(base64.b64decode(line)) == AGENT
    assert len(line) < protocol.LINE_LIMIT


def test_the_agent_is_python_3_6() -> None:
    ast.parse(AGENT, feature_version=(3, 6))
    imported = {name.name for node in ast.walk(ast.parse(AGENT)) if isinstance(node, ast.Import) for name in node.names}
    assert imported <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("python", pythons())
def test_the_agent_runs_here(python: str) -> None:
    taken = socket.socket()  # bound and not listening: closed, and nobody else's
    taken.bind(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    probe = Probe(endpoint=EndpointId("e"), vantage=VantageId("v"), host="127.0.0.1", port=port)
    job = protocol.agent_line() + protocol.probe_line([("7", probe)]) + b"noise\n" + protocol.line(op="end")
    pipe = subprocess.PIPE
    with taken, subprocess.Popen([python, *protocol.BOOTSTRAP[1:]], stdin=pipe, stdout=pipe, stderr=pipe) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        assert agent.stderr is not None
        agent.stdin.write(job)
        agent.stdin.flush()  # and it stays open: `end` ends the agent, not the end of the file
        out = agent.stdout.read()
        assert (agent.wait(10), agent.stderr.read()) == (0, b"")
    told = [protocol.read_line(line) for line in out.splitlines()]
    assert all(told)
    hello, *others = [line for line in told if line]
    assert hello["op"] == "hello"
    assert hello["version"] == protocol.PROTOCOL_VERSION
    assert hello["in_flight"] > 0
    assert "127.0.0.1" in hello["addresses"]
    by_word = {line["op"]: line for line in others}
    assert set(by_word) == {"result", "error", "bye"}
    assert others[-1]["op"] == "bye"
    assert by_word["result"]["id"] == "7"
    seen = protocol.observation(probe, by_word["result"], 1.0, b"")
    assert (seen.state, seen.reason) == (State.CLOSED, Reason.CONN_REFUSED)
    assert len(seen.attempts) == 1  # a closed port needs no second look


def test_probes_of_one_shape_share_a_line() -> None:
    talk = Conversation(tls=TlsMode.ON, server_name="n", requests=(Request(path="/x", headers=(("A", "b"),)),))
    probe = Probe(
        endpoint=EndpointId("e"),
        vantage=VantageId("v"),
        host="::1",
        port=443,
        conversation=talk,
        timing=Timing(timeout=1, confirm=2, attempts=3),
    )
    other = Probe(endpoint=EndpointId("f"), vantage=VantageId("v"), host="h", port=1, conversation=talk)
    assert protocol.shape(probe) != protocol.shape(other)
    line = protocol.probe_line([("0", probe), ("1", probe)])
    assert line.count(b"\n") == 1
    told = json.loads(line)
    assert told["targets"] == [["0", "::1", 443], ["1", "::1", 443]]
    common = told["common"]
    assert (common["protocol"], common["tls"], common["server_name"]) == ("tcp", "on", "n")
    assert common["requests"] == [["GET", "/x", [["A", "b"]], True]]
    assert (common["timeout"], common["confirm"], common["attempts"], common["deadline"]) == (1, 2, 3, 1 + 2 * 2 + 3)
    assert json.loads(protocol.cancel_line(iter(["0", "1"]))) == {"op": "cancel", "ids": ["0", "1"]}


# --- what comes back


@pytest.mark.parametrize(
    "noise",
    [b"", b"Welcome to Ubuntu\r", b'{"op":', b'{"op":"result"', b'["op"]', b' {"op":"hello"}', b'{"op":"\xff"}', b"{}"],
)
def test_noise_is_not_ours(noise: bytes) -> None:
    assert protocol.read_line(noise) is None


@given(any_of.binary(max_size=80).map(lambda tail: b'{"op":' + tail) | any_of.binary(max_size=80))
def test_any_line_is_an_object_or_nothing(data: bytes) -> None:
    assert isinstance(protocol.read_line(data), dict | None)


def test_a_whole_result() -> None:
    def bytes_(text: bytes) -> str:
        return base64.b64encode(text).decode()

    answer = {"method": "HEAD", "path": "/pods", "status": 401, "reason": "No", "headers": [["A", "b\x1b[2J"]], "ms": 1}
    told = {
        **OPEN,
        "ms": 0.5,
        "steps": [["connect", 0.5, True, ""], ["tls", 2, True, "TLSv1.3"]],
        "tls": {"version": "TLSv1.3", "cipher": "c", "der": bytes_(b"junk")},
        "http": [{**answer, "body": bytes_(b"Unauth\nor\x07ized")}] * 3,
        "banner": bytes_(b"SSH\r\n"),
        "source": "10.0.0.1",
        "peer": "10.0.0.2",
        "detail": "\x1b]0;title\x07",
        "simulated": True,
        "unknown": ["key"],
    }
    seen = take(told)
    assert isinstance(seen, Observation)
    assert (seen.endpoint, seen.vantage, seen.at, seen.latency_ms) == ("e", "v", 1.0, 0.5)
    assert (seen.state, seen.reason, seen.posture) == (State.OPEN, Reason.SYN_ACK, Posture.AUTH_REQUIRED)
    assert len(seen.http) == 2
    assert seen.http[0].body == "Unauth\nor␇ized"
    assert seen.http[0].headers == (("A", "b␛[2J"),)
    assert seen.banner == "SSH␍␊"
    assert seen.detail == "␛]0;title␇"
    assert seen.simulated
    assert seen.tls is not None
    assert seen.tls.certificate is not None
    assert seen.tls.certificate.sha256
    assert bytes_(b"junk") not in seen.raw  # the certificate's bytes don't fill the memory
    assert "unknown" in seen.raw


@pytest.mark.parametrize("word", [1, "true", "yes", None, [True]])
def test_only_the_range_says_simulated(word: object) -> None:
    seen = take({**OPEN, "simulated": word})
    assert isinstance(seen, Observation)
    assert seen.simulated is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": None},
        {"state": "ajar"},
        {"state": ["open"]},
        {"reason": "because"},
        {"attempts": [["open"]]},
        {"attempts": [["open", "syn-ack", "soon"]]},
        {"attempts": ["open"]},
        {"steps": [["connect", 1, True]]},
        {"steps": [7]},
        {"http": [{"method": "GET"}]},
        {"http": ["GET /"]},
        {"http": [{"method": "GET", "path": "/", "status": "OK"}]},
        {"http": [{"method": "GET", "path": "/", "headers": [["alone"]]}]},
        {"icmp": {"type": 3}},
        {"icmp": {"type": "three", "code": 1}},
    ],
)
def test_a_result_that_says_too_little_is_a_probe_error(wrong: dict[str, Any]) -> None:
    error = take({**OPEN, **wrong})
    assert isinstance(error, ProbeError)
    assert "can't be read" in error.message
    assert str(error).isprintable()


JSON = any_of.recursive(
    any_of.none() | any_of.booleans() | any_of.integers(-(2**40), 2**40) | any_of.floats() | any_of.text(max_size=12),
    lambda inner: any_of.lists(inner, max_size=4) | any_of.dictionaries(any_of.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def likely(**fields: Any) -> Any:
    """An object with some of these fields, each of them likely or anything."""
    return any_of.fixed_dictionaries({}, optional={name: values | JSON for name, values in fields.items()}) | JSON


STATES, REASONS = any_of.sampled_from(list(State)), any_of.sampled_from(list(Reason))
MS, BASE64 = any_of.floats(0, 9), any_of.binary(max_size=60).map(lambda data: base64.b64encode(data).decode())
EXCHANGE = likely(
    method=any_of.just("GET"),
    path=any_of.text(max_size=9),
    status=any_of.integers(0, 999),
    headers=any_of.lists(any_of.tuples(any_of.text(max_size=9), any_of.text(max_size=9)).map(list), max_size=2),
    body=BASE64,
)
RESULT = any_of.fixed_dictionaries(
    {"state": STATES | JSON, "reason": REASONS | JSON},
    optional={
        "attempts": any_of.lists(any_of.tuples(STATES, REASONS, MS).map(list) | JSON, max_size=2) | JSON,
        "steps": any_of.lists(any_of.tuples(any_of.text(), MS, any_of.booleans(), any_of.text()).map(list)) | JSON,
        "icmp": likely(type=any_of.integers(0, 20), code=any_of.integers(0, 20), source=any_of.text()),
        "tls": likely(version=any_of.text(), der=BASE64, alert=any_of.text(), client_certificate=any_of.text()),
        "http": any_of.lists(EXCHANGE, max_size=3) | JSON,
        "banner": BASE64 | JSON,
        "source": any_of.text() | JSON,
        "detail": any_of.text() | JSON,
        "ms": MS | JSON,
        "simulated": JSON,
    },
)


@settings(deadline=None, max_examples=300)
@given(RESULT)
def test_any_result_is_printable_or_a_probe_error(told: dict[str, Any]) -> None:
    seen = take(told)
    if isinstance(seen, ProbeError):
        assert str(seen).isprintable()
    else:
        assert all(text.replace("\n", "").replace("\t", "").isprintable() for text in texts(seen))


@settings(deadline=None)
@given(
    any_of.binary(min_size=1, max_size=200) | any_of.binary(max_size=60).map(lambda tail: b"\x30\x82\x01\x00" + tail)
)
def test_a_certificate_that_is_junk_has_only_a_fingerprint(der: bytes) -> None:
    read = read_certificate(der)
    assert read is not None
    assert len(read.sha256) == 64
    assert (read.subject, read.issuer, read.names, read.not_before, read.not_after) == ("", "", (), "", "")


def test_a_certificate_is_read_and_a_cut_one_is_junk(tmp_path: Path) -> None:
    der = ssl.PEM_cert_to_DER_cert(Authority("the\x1b[2J-ca", tmp_path).pem.decode())
    read = read_certificate(der)
    assert read is not None
    assert read.subject == read.issuer
    assert "ca" in read.subject
    assert read.subject.isprintable()
    assert read.not_before < read.not_after
    for end in range(1, len(der), 17):
        cut = read_certificate(der[:end])
        assert cut is not None
        assert (cut.subject, len(cut.sha256)) == ("", 64)
    assert read_certificate(b"") is None
