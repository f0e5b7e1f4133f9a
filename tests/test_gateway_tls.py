"""TLS at the doors and on the links: who has no right certificate is not heard, and hears nothing."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from gateway_peers import Sender, Till, ack, books_of, control_id_of, message, run, until

from fhir_radcharge.gateway import tls
from fhir_radcharge.gateway.link import Link
from fhir_radcharge.gateway.listener import Listener
from fhir_radcharge.gateway.lobby import Door, Lobby
from fhir_radcharge.gateway.route import Backoff, Route
from fhir_radcharge.wire.mllp import Framer, frame


class Authority:
    """A certificate authority of this test alone."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.pem, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _called(name)
        root = _begun(self._subject, self._subject, self._key).add_extension(x509.BasicConstraints(True, None), True)
        _kept(root.sign(self._key, hashes.SHA256()), self._key, self.pem, self.key)

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Return the files of a certificate and its key, for a common name on this machine."""
        pem, path = (self.folder / f"{self.name}-{name}.{kind}" for kind in ("pem", "key"))
        key = ec.generate_private_key(ec.SECP256R1())
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        leaf = _begun(_called(name), self._subject, key).add_extension(here, False)
        _kept(leaf.sign(self._key, hashes.SHA256()), key, pem, path)
        return pem, path


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
    )


def _kept(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, pem: Path, path: Path) -> None:
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "foreign")


def heard_by(door: Door, context: ssl.SSLContext | None) -> tuple[bytes, Till]:
    """Return what a sender with this context is answered at a door, b"" if it is not heard."""
    till, answers = Till(), []

    async def story() -> None:
        async with books_of(till) as books:
            listener = Listener(door, books, Lobby())
            port = await listener.open()
            try:
                sender = await Sender.connect(port, ssl=context)
                sender.send(message("M1"))
                answers.append(await sender.answer())
            except OSError:
                answers.append(b"")
            await listener.close(1.0)

    run(story())
    return answers[0], till


def door(ours: Authority, names: frozenset[str] = frozenset()) -> Door:
    cert, key = ours.certificate("listener")
    return Door("rv", "127.0.0.1", 0, ssl=tls.listening(cert, key, ours.pem), client_names=names)


def client(trusted: Authority, own: Authority | None, name: str = "rv") -> ssl.SSLContext:
    return tls.calling(trusted.pem, *(own.certificate(name) if own else (None, None)))


def test_a_sender_with_our_certificate_is_heard(ours: Authority) -> None:
    answer, till = heard_by(door(ours), client(ours, ours))

    assert answer == till.answers[message("M1")]


def test_a_sender_with_a_certificate_of_that_name_is_heard(ours: Authority) -> None:
    answer, till = heard_by(door(ours, frozenset({"rv"})), client(ours, ours, "rv"))

    assert answer == till.answers[message("M1")]


@pytest.mark.parametrize(
    "context",
    [
        lambda ours, foreign: client(ours, None),
        lambda ours, foreign: client(ours, foreign),
        lambda ours, foreign: client(foreign, ours),
        lambda ours, foreign: client(ours, ours, "other"),
        lambda ours, foreign: _at_most(client(ours, ours), ssl.TLSVersion.TLSv1_1),
        lambda ours, foreign: _with_ciphers(client(ours, ours), "AES256-GCM-SHA384"),
        lambda ours, foreign: None,
    ],
    ids=["no certificate", "another CA", "listener not trusted", "another name", "TLS 1.1", "old ciphers", "plain"],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_nobody_else_is_heard(ours: Authority, foreign: Authority, context: Callable[..., Any]) -> None:
    answer, till = heard_by(door(ours, frozenset({"rv"})), context(ours, foreign))

    assert answer == b""
    assert till.kept == []


def _at_most(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    return context


def _with_ciphers(context: ssl.SSLContext, ciphers: str) -> ssl.SSLContext:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


@pytest.mark.parametrize(("trusted", "sent"), [("ours", True), ("foreign", False)])
def test_a_link_speaks_only_to_a_destination_it_can_verify(
    ours: Authority, foreign: Authority, trusted: str, sent: bool
) -> None:
    async def story() -> None:
        till = Till()
        till.queue("billing", 0, "M1")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            framer = Framer()
            while data := await reader.read(65536):
                for item in framer.feed(data):
                    writer.write(frame(ack(control_id_of(item.payload))))
            writer.close()

        cert, key = ours.certificate("biller")
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls.listening(cert, key, None))
        port = server.sockets[0].getsockname()[1]
        context = tls.calling((ours if trusted == "ours" else foreign).pem, None, None)
        async with books_of(till) as books:
            route = Route("billing", "127.0.0.1", port, ssl=context, backoff=Backoff(0.01, 0.02))
            link = Link(route, books, lambda: 0.5)
            link.open()
            if sent:
                await until(lambda: till.told() == [(1, 1, "accepted", "AA")])
            else:
                await until(lambda: link._all[0]._failures >= 2)
            await link.close(0.1)
        server.close()

        assert till.told() == ([(1, 1, "accepted", "AA")] if sent else [])

    run(story())


def test_a_tls_connection_keeps_a_small_buffer(ours: Authority) -> None:
    door(ours)

    assert sslproto.SSLProtocol.max_size == 16 * 1024
    assert "max_size" in vars(sslproto.SSLProtocol)
