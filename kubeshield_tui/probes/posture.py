"""What an application asks of a stranger, and what it says of itself, read from the safe answers it gave. Pure.

How an answer reads is data: the readings of its request come first, then those that hold everywhere. Sources of the
latter: the Kubernetes documentation on kubelet and API authentication (401: anonymous off; 403: anonymous on but not
authorised), RFC 9110 for status codes, RFC 8446 for TLS alerts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kubeshield_tui.model.endpoint import Conversation, Fact, Reading, Request
from kubeshield_tui.model.observation import HttpExchange, Posture, State, Step, TlsFacts
from kubeshield_tui.model.text import printable

NO_TLS = "wrong version number"
"""The agent's words where TLS was tried and what came back was none."""
NO_ANSWER = "no answer before the deadline"
"""The agent's words for a request that met silence."""
EVERYWHERE = (
    Reading(status="401", posture=Posture.AUTH_REQUIRED),
    Reading(
        status="403",
        body="system:anonymous",
        posture=Posture.FORBIDDEN,
        says="anonymous requests are on, this one is not authorised",
    ),
    Reading(status="403", posture=Posture.FORBIDDEN),
)
STRONGEST_FIRST = (Posture.ANONYMOUS, Posture.AUTH_REQUIRED, Posture.FORBIDDEN, Posture.CLIENT_CERT_REQUIRED)
"""One answer that lets a stranger in decides, whatever the others say."""
FACT_LIMIT = 120


class Read(NamedTuple):
    """What a conversation came to."""

    posture: Posture
    says: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def read(
    conversation: Conversation,
    state: State,
    tls: TlsFacts | None,
    http: tuple[HttpExchange, ...],
    steps: tuple[Step, ...],
) -> Read:
    """Read the answers of an open port; of any other state there is nothing to read."""
    if state is not State.OPEN:
        return Read(Posture.UNKNOWN)
    silent = any(step.name == "http" and not step.ok and step.detail == NO_ANSWER for step in steps)
    readings = [*_of_certificate(conversation, tls)]
    facts: dict[str, str] = {}
    for number, answer in enumerate(http):
        request = _request_of(conversation, number, answer)
        readings.extend(_of_answer(request, answer, silent))
        for fact in request.facts:
            if value := value_of(fact, answer):
                facts.setdefault(fact.name, value)
    says = "; ".join(dict.fromkeys(reading.says for reading in readings if reading.says))
    return Read(_posture(readings, tls, http, steps), says, tuple(facts.items()))


def _posture(
    readings: list[Reading], tls: TlsFacts | None, http: tuple[HttpExchange, ...], steps: tuple[Step, ...]
) -> Posture:
    if tls is not None and tls.client_certificate == "required":
        return Posture.CLIENT_CERT_REQUIRED
    found = {reading.posture for reading in readings}
    for posture in STRONGEST_FIRST:
        if posture in found:
            return posture
    if tls is not None and tls.version:
        return Posture.TLS
    no_tls = any(step.name == "tls" and not step.ok and NO_TLS in step.detail for step in steps)
    return Posture.PLAIN if no_tls or any(answer.status for answer in http) else Posture.UNKNOWN


def _request_of(conversation: Conversation, number: int, answer: HttpExchange) -> Request:
    """The request that an answer is to; one to something else reads as any other."""
    asked = conversation.requests[number] if number < len(conversation.requests) else Request()
    return asked if asked.path == answer.path else Request()


def _of_certificate(conversation: Conversation, tls: TlsFacts | None) -> Iterator[Reading]:
    if tls is not None and tls.certificate is not None:
        names = f"{tls.certificate.subject}\n{tls.certificate.issuer}"
        yield from [reading for reading in conversation.readings if reading.certificate in names][:1]


def _of_answer(request: Request, answer: HttpExchange, silent: bool) -> Iterator[Reading]:
    """The first reading that fits, and the first that knows a posture."""
    fitting = [reading for reading in (*request.readings, *EVERYWHERE) if fits(reading, answer, silent)]
    yield from fitting[:1]
    if fitting and fitting[0].posture is None:
        yield from [reading for reading in fitting if reading.posture is not None][:1]


def fits(reading: Reading, answer: HttpExchange, silent: bool) -> bool:
    """Whether a reading is this answer's. `silent`: the last request met silence."""
    if reading.status == "none":
        if answer.status or not silent:
            return False
    elif not answer.status or not _has_status(reading.status, answer.status):
        return False
    if reading.header:
        name, _, fragment = reading.header.partition(":")
        values = [value for given, value in answer.headers if given.lower() == name.strip().lower()]
        if not any(fragment.strip().lower() in value.lower() for value in values):
            return False
    return reading.body in answer.body


def _has_status(wanted: str, status: int) -> bool:
    return not wanted or wanted == str(status) or (wanted.endswith("xx") and wanted[0] == str(status)[0])


def value_of(fact: Fact, answer: HttpExchange) -> str:
    """A fact's value, empty where the answer does not tell it. The text was made printable when it came."""
    if fact.header:
        return next((value for name, value in answer.headers if name.lower() == fact.header.lower()), "")[:FACT_LIMIT]
    if not 200 <= answer.status < 300:
        return ""  # the text of an error page tells of the error
    if fact.json:
        # Not parsed: what was kept of a long body is no whole document.
        found = re.search(rf'"{re.escape(fact.json)}"\s*:\s*"([^"]*)"', answer.body)
        return found[1][:FACT_LIMIT] if found else ""
    _, begins, rest = answer.body.partition(fact.after) if fact.after else ("", "yes", answer.body)
    value, ends, _ = rest.partition(fact.before) if fact.before else (rest, "yes", "")
    return printable(value.strip(), FACT_LIMIT) if begins and ends else ""
