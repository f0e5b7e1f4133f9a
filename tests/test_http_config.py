"""FHIR in the configuration: a mistake is told before anything starts, and secrets come from files alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from http_kit import MAPPINGS, whole_site
from joserfc.jwk import ECKey
from test_config import SMALL, loaded, mistakes

from fhir_radcharge.config_values import Web
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.gateway.doors import as_configured
from fhir_radcharge.gateway.fhir_route import fhir_route_of

DOOR = '[[fhir_listen]]\nname = "rv-fhir"\nbind = "127.0.0.1:8080"\nsender = "rv_fhir"\n'
SEND = '[[send]]\nname = "hospital_put"\nto = "https://fhir.example.org/r4/"\n'


def secret(folder: Path, name: str, text: str, mode: int = 0o600) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    (folder / name).chmod(mode)


def test_a_fhir_destination_counts_where_a_link_names_it(tmp_path: Path) -> None:
    site = whole_site()
    text = SMALL.replace('mappings = "."', f'mappings = "{MAPPINGS}"') + DOOR + SEND + 'on_ambiguous = "query"\n'

    configured = as_configured(site, loaded(tmp_path, text))

    assert "hospital_put" not in site.destinations
    assert configured.destinations["hospital_put"].on_ambiguous == "query"
    assert sorted(set(configured.destinations) - set(site.destinations)) == ["hospital_put"]


def test_the_base_of_a_server_is_read_whole(tmp_path: Path) -> None:
    config = loaded(tmp_path, SMALL + SEND)

    assert config.send[0].to == Web("https", "fhir.example.org", 443, "/r4")
    assert fhir_route_of(config.send[0], whole_site().fhir.destinations["hospital_put"]).ssl is not None


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (DOOR.replace("127.0.0.1", "0.0.0.0"), "fhir_listen[rv-fhir]: patient data would cross the network in the clear;"),
        (DOOR.replace("8080", "2575"), "fhir_listen[rv-fhir].bind: is used twice;"),
        (DOOR.replace("rv-fhir", "rv"), "listen[rv].name: is used twice;"),
        (SEND.replace("https", "http"), "send[hospital_put]: patient data would cross the network in the clear;"),
        (SEND.replace("https://", "https://user:word@"), "send[hospital_put].to: 'https://user:word@"),
        (SEND.replace("https", "ftp"), "send[hospital_put].to: 'ftp://"),
        (SEND.replace("/r4/", "/r4?x=1"), "send[hospital_put].to: 'https://fhir.example.org/r4?x=1'"),
    ],
)
def test_mistakes_are_told_with_their_key(tmp_path: Path, text: str, mistake: str) -> None:
    found = mistakes(tmp_path, SMALL + text)

    assert any(line.startswith(mistake) for line in found), found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (DOOR.replace("rv_fhir", "nobody"), "fhir_listen[rv-fhir].sender: there is no FHIR sender profile 'nobody'"),
        (SEND.replace("https://fhir.example.org/r4/", "127.0.0.1:6661"), "send[hospital_put].to: the profile is of another kind"),
        (SEND.replace("hospital_put", "global_biller"), "send[global_biller].to: the profile is of another kind"),
    ],
)
def test_what_the_profiles_contradict_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        as_configured(whole_site(), loaded(tmp_path, SMALL + text))

    assert problem in str(caught.value)


def test_a_key_of_smart_is_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    smart = (
        SEND + '[send.smart]\ntoken_url = "https://auth.example.org/token"\nclient_id = "radcharge"\nkey = "k.pem"\n'
        'key_id = "1"\nalgorithm = "ES384"\nscope = "system/ChargeItem.cru"\n'
    )
    secret(tmp_path, "k.pem", "nothing of a key", 0o644)
    open_to_all = mistakes(tmp_path, SMALL + smart)
    (tmp_path / "k.pem").chmod(0o600)
    no_key = loaded(tmp_path, SMALL + smart).send[0]
    destination = whole_site().fhir.destinations["hospital_put"]
    with pytest.raises(ConfigError) as caught:
        fhir_route_of(no_key, destination)
    secret(tmp_path, "k.pem", ECKey.generate_key("P-384").as_pem(private=True).decode())

    assert "can be read by others" in open_to_all[0]
    assert "nothing of a key" not in str(caught.value)
    assert fhir_route_of(no_key, destination).client is not None
