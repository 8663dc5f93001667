"""The conversation with an endpoint, as it went over the wire. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from kubeshield_tui.model.observation import HttpExchange, TlsFacts
from kubeshield_tui.ui.page.lines import pair, unbroken
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.widgets.pager import Line

BODY_LINES = 20
NAMES = 12
"""Names of a certificate that are shown."""


def conversation(view: CellView) -> Iterator[Line]:
    """Attempts, steps with their times, TLS and HTTP."""
    observation = view.observation
    if observation is None:
        return
    for number, attempt in enumerate(observation.attempts, 1):
        yield from pair(f"attempt {number}", f"{attempt.state} {attempt.reason} {attempt.ms:8.1f} ms")
    for step in observation.steps:
        yield from pair(step.name, f"{step.ms:8.1f} ms  {step.detail}", "" if step.ok else "unproven")
    if observation.icmp is not None:
        icmp = observation.icmp
        yield from pair("icmp", f"v{icmp.family} type {icmp.type} code {icmp.code} from {icmp.source}", "unproven")
    if observation.banner:
        yield from pair("greeting", observation.banner)
    yield from tls_lines(observation.tls)
    for exchange in observation.http:
        yield from exchange_lines(exchange, BODY_LINES)


def raw(view: CellView) -> Iterator[Line]:
    """The agent's own line."""
    if view.observation is not None:
        yield from unbroken(view.observation.raw or "nothing", "quiet", view.width)


def exchange_lines(exchange: HttpExchange, most: int) -> Iterator[Line]:
    """One request and its answer. `most`: lines of the body at most."""
    yield from pair("request", f"{exchange.method} {exchange.path}   {exchange.ms:.1f} ms", "strong")
    yield from pair("", f"{exchange.status or 'no status'} {exchange.reason}")
    yield from chain.from_iterable(pair("", f"{name}: {value}", "quiet") for name, value in exchange.headers)
    body = exchange.body.splitlines()
    yield from chain.from_iterable(pair("", line, "quiet") for line in body[:most])
    if len(body) > most:
        yield from pair("", f"... {len(body) - most} more lines", "quiet")


def tls_lines(tls: TlsFacts | None) -> Iterator[Line]:
    """The handshake and the certificate."""
    if tls is None:
        return
    yield from pair("tls", f"{tls.version or 'no handshake'} {tls.cipher} {tls.alpn}".rstrip())
    if tls.client_certificate:
        yield from pair("", f"client certificate {tls.client_certificate} {tls.alert}".rstrip(), "reachable")
    if tls.certificate is not None:
        certificate = tls.certificate
        yield from pair("certificate", f"{certificate.subject}, issued by {certificate.issuer}")
        yield from pair("", ", ".join(certificate.names[:NAMES]))
        yield from pair("", f"{certificate.not_before} to {certificate.not_after}")
        yield from pair("", f"sha256 {certificate.sha256}", "quiet")
