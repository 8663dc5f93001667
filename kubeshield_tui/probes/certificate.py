"""Read a server's certificate. Whatever it holds: it never raises, and its text is printable."""

from __future__ import annotations

import hashlib
import ssl
import warnings

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


def trust_of(der: bytes) -> str:
    """Say whether this machine's authorities issued a certificate. One signature is looked at, offline."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        issuer = printable(certificate.issuer.rfc4514_string(), 120)
        if certificate.issuer == certificate.subject:
            signed = _is_issued_by(certificate, certificate)
            return "self-signed" if signed else "issuer and subject are the same, yet it did not sign itself"
    except Exception:  # as above: a peer's bytes
        return "the certificate can't be read"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old roots with odd serial numbers
        for known in ssl.create_default_context().get_ca_certs(binary_form=True):
            if _is_issued_by(certificate, x509.load_der_x509_certificate(known)):
                return f"issued by an authority of this machine: {issuer}"
    return f"issued by {issuer}, which is no root of this machine"


def _is_issued_by(certificate: object, authority: object) -> bool:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    assert isinstance(authority, x509.Certificate)
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # InvalidSignature, other names, unsupported keys: none of them issued it
        return False
    return True
