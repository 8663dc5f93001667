"""What sshd says of a forwarding that it did not open, read as measured on OpenSSH 9.2 and dropbear 2022.83."""

from __future__ import annotations

from typing import Any

import pytest

from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.vantages import ssh_direct
from kubeshield_tui.vantages.ssh_direct import DirectLink


class FakeConnection:
    """A fake SshConnection whose server answers one thing; the real one is in tests/contract."""

    alive = True
    shown = "jump"

    def __init__(self, code: int, said: str) -> None:
        self.code = code
        self.said = said
        self.asked = 0

    async def stream(self, host: str, port: int) -> Any:
        import asyncssh

        self.asked += 1
        raise asyncssh.ChannelOpenError(self.code, self.said)

    async def close(self) -> None:
        return None


@pytest.mark.parametrize(
    ("code", "said", "state", "reason", "asked"),
    [
        (2, "Connection refused", State.CLOSED, Reason.CONN_REFUSED, 1),
        (2, "No route to host", State.FILTERED, Reason.HOST_UNREACH, 1),
        (2, "Network is unreachable", State.FILTERED, Reason.NET_UNREACH, 1),
        (2, "Protocol not available", State.FILTERED, Reason.PROTO_UNREACH, 1),
        (2, "Connection reset by peer", State.OPEN, Reason.RESET, 1),
        (2, "Connection timed out", State.FILTERED, Reason.NO_RESPONSE, 2),
        (2, "Temporary failure in name resolution", State.ERROR, Reason.DNS_FAILURE, 1),
        (2, "Error resolving 'x'", State.ERROR, Reason.DNS_FAILURE, 1),
        (2, "open failed", State.ERROR, Reason.RESOURCES, 2),
        (2, "et quelque chose d'autre", State.ERROR, Reason.RESOURCES, 2),
        (1, "open failed", State.ERROR, Reason.FORWARDING_DENIED, 1),
    ],
)
async def test_each_answer_has_its_reading(
    code: int, said: str, state: State, reason: Reason, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_direct, "OPENING", 0.01)
    connection: Any = FakeConnection(code, said)

    async def another() -> Any:
        return connection

    link = DirectLink(connection, another)
    seen = await link.ask(
        Probe(
            endpoint=EndpointId("e"),
            vantage=VantageId("v"),
            host="192.0.2.1",
            port=1,
            timing=Timing(timeout=0.5, confirm=0.5),
        )
    )
    await link.close()
    assert (seen.state, seen.reason, connection.asked) == (state, reason, asked)
    assert any(said in step.detail for step in seen.steps)
