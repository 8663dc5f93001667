"""What an API server tells beside its answers: its clock and its certificate. And when our own certificate ends."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubeshield_tui.cluster.client import ClusterClient
from kubeshield_tui.model.record import Record

GREETING_SECONDS = 5.0


class Greeting(Record, frozen=True):
    """One server, looked at once."""

    seconds: float | None = None
    """What an answer took; None where there was none."""
    ahead: float | None = None
    """Seconds that the server's clock is ahead of ours, to half a second; None where it tells no time."""
    certificate: bytes = b""
    """The server's, DER; empty where it can't be had, behind a proxy say."""
    own_certificate: bytes = b""
    """The one that we log in with, DER; empty where it is a token or a plugin that does."""


async def greet(client: ClusterClient) -> Greeting:
    """Look at the server of a client. Never raises: what can't be had is left out."""
    seconds, ahead = await _clock(client.configuration)
    return Greeting(
        seconds=seconds,
        ahead=ahead,
        certificate=await _certificate(client.configuration),
        own_certificate=await asyncio.to_thread(_own_certificate, client.configuration.cert_file),
    )


async def _clock(configuration: Any) -> tuple[float | None, float | None]:
    """Ask for the version and read the answer's Date."""
    from kubernetes.aio.client import ApiClient

    api = ApiClient(configuration=configuration)
    try:
        asked = await api.param_serialize(method="GET", resource_path="/version", auth_settings=["BearerToken"])
        begun = time.time()
        response = await api.call_api(*asked, _request_timeout=GREETING_SECONDS)
        ended = time.time()
        await response.read()
    except Exception:  # whatever breaks here broke for `connect` too, which says so
        return None, None
    finally:
        await api.close()
    try:
        told = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return ended - begun, None
    # A Date is cut to whole seconds: on average the clock is half a second further.
    return ended - begun, told + 0.5 - (begun + ended) / 2


async def _certificate(configuration: Any) -> bytes:
    """Shake hands as the client does, and take the certificate."""
    from kubernetes.aio.client import ApiClient

    server = urlsplit(configuration.host)
    if server.scheme != "https" or not server.hostname or configuration.proxy:
        return b""
    api = ApiClient(configuration=configuration)
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(GREETING_SECONDS):
            _, writer = await asyncio.open_connection(
                server.hostname,
                server.port or 443,
                ssl=api.rest_client.ssl_context,
                server_hostname=configuration.tls_server_name or server.hostname,
            )
            try:
                told = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                return bytes(told or b"")
            finally:
                writer.transport.abort()
                await api.close()
    await api.close()
    return b""


def _own_certificate(file: str | None) -> bytes:
    with contextlib.suppress(OSError, ValueError, TypeError):
        text = Path(file or "").read_text("ascii")
        begin, end = text.index("-----BEGIN CERTIFICATE-----"), text.index("-----END CERTIFICATE-----")
        return ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----")
    return b""
