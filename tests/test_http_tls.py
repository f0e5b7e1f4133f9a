"""TLS at the FHIR door and on FHIR links: who has no right certificate is not heard, and hears nothing."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import fhir_kit
import pytest
from http_kit import Keeping, run, whole_site
from test_gateway_tls import Authority

from fhir_radcharge.gateway import tls
from fhir_radcharge.gateway.http.app import Desk, Rules
from fhir_radcharge.gateway.http.listener import FhirListener
from fhir_radcharge.gateway.lobby import Door, Lobby


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "foreign")


async def posted(folder: Path, ours: Authority, context: ssl.SSLContext, names: frozenset[str]) -> int:
    """Return the status that a sender with this context gets; 0 if its connection comes to nothing."""
    keeping, lobby = Keeping(folder, whole_site()), Lobby()
    desk = Desk(Rules("rv", whole_site().fhir.senders["charge_items"]), keeping, lobby)
    pem, key = ours.certificate("door")
    listening = tls.listening(pem, key, ours.pem)
    listener = FhirListener(Door("rv", "127.0.0.1", 0, ssl=listening, client_names=names), desk, lobby)
    port = await listener.open()
    try:
        async with aiohttp.ClientSession() as session, session.post(
            f"https://127.0.0.1:{port}/fhir/ChargeItem", json=fhir_kit.charge(), ssl=context
        ) as answer:
            return answer.status
    except (aiohttp.ClientError, OSError):
        return 0
    finally:
        await listener.close(1.0)
        keeping.close()


@pytest.mark.parametrize(("name", "names", "status"), [
    ("rv", frozenset(), 201), ("rv", frozenset({"rv"}), 201), ("rv", frozenset({"other"}), 0), ("", frozenset(), 0),
])  # fmt: skip
def test_only_a_sender_with_the_right_certificate_is_heard(
    tmp_path: Path, ours: Authority, name: str, names: frozenset[str], status: int
) -> None:
    context = tls.calling(ours.pem, *(ours.certificate(name) if name else (None, None)))

    async def story() -> None:
        assert await posted(tmp_path, ours, context, names) == status

    run(story)


def test_a_sender_of_another_authority_is_not_heard(tmp_path: Path, ours: Authority, foreign: Authority) -> None:
    context = tls.calling(ours.pem, *foreign.certificate("rv"))

    async def story() -> None:
        assert await posted(tmp_path, ours, context, frozenset()) == 0

    run(story)
