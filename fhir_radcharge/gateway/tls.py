"""TLS contexts for listeners and links: 1.2 at least, both sides with a certificate where a CA is named."""

from __future__ import annotations

import ssl
from asyncio import sslproto
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# BCP 195 (RFC 9325): forward secrecy and AEAD only. TLS 1.3 suites are all of that kind already.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"

# asyncio keeps a read buffer of 256 KiB for each TLS connection: ten thousand idle senders would need 2.8 GB.
# One TLS record is 16 KiB, so a buffer of that size loses nothing.
BUFFER_BYTES = 16 * 1024


def listening(cert: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """Return a context for a listener; with `client_ca` only peers with a certificate of it are heard."""
    context = _floor(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


def calling(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return a context for a link: the server's name and chain are always checked."""
    context = _floor(ssl.create_default_context(cafile=str(ca) if ca else None))
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


def _floor(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    sslproto.SSLProtocol.max_size = BUFFER_BYTES
    return context


def names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the common name and the DNS names of a peer's certificate; none if there is no certificate."""
    if not certificate:
        return frozenset()
    parts = [pair for part in certificate.get("subject", ()) for pair in part]
    subject = [value for kind, value in parts if kind == "commonName"]
    dns = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    return frozenset((*subject, *dns))
