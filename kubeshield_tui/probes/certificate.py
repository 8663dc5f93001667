"""Read a server's certificate. Whatever it holds: it never raises, and its text is printable."""

from __future__ import annotations

import hashlib

from kubeshield_tui.model.observation import Certificate
from kubeshield_tui.model.text import printable

NAMES_KEPT = 50


def read_certificate(der: bytes) -> Certificate | None:
    """Read DER; None where there is none. What can't be read stays empty beside the fingerprint."""
    if not der:
        return None
    fingerprint = hashlib.sha256(der).hexdigest()
    # 80 ms to import: only a port that speaks TLS costs it.
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        return Certificate(
            subject=printable(certificate.subject.rfc4514_string(), 300),
            issuer=printable(certificate.issuer.rfc4514_string(), 300),
            names=_names(certificate),
            not_before=certificate.not_valid_before_utc.isoformat(),
            not_after=certificate.not_valid_after_utc.isoformat(),
            sha256=fingerprint,
        )
    except Exception:  # a peer's bytes may break any parser in any way; the fingerprint still tells servers apart
        return Certificate(sha256=fingerprint)


def _names(certificate: object) -> tuple[str, ...]:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(printable(name.value, 253) for name in list(extension.value)[:NAMES_KEPT])
