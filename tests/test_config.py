"""The configuration: every mistake at once, each with its file, key, cause and way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fhir_radcharge.config import Config, Section, load
from fhir_radcharge.config_values import Address
from fhir_radcharge.errors import ConfigError

DOCS = Path(__file__).parent.parent / "docs"

SMALL = """
[site]
name = "north"
timezone = "America/Chicago"
[store]
path = "var/radcharge.db"
[rules]
mappings = "."
[control]
socket = "var/radcharge.sock"
[credits]
per_hour_before_pause = 40
[[listen]]
name = "rv"
bind = "127.0.0.1:2575"
"""


def loaded(folder: Path, text: str) -> Config:
    (folder / "radcharge.toml").write_text(text, encoding="utf-8")
    return load(folder / "radcharge.toml")


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    lines = str(caught.value).split("\n")
    assert all(line.startswith("radcharge.toml: ") for line in lines)
    return [line.removeprefix("radcharge.toml: ") for line in lines]


def keys(section: type[Section], before: str = "") -> list[str]:
    """Return every key that a section takes, those of its sections too."""
    found = []
    for name, field in section.model_fields.items():
        inner = _section(field.annotation)
        found += keys(inner, f"{before}{name}.") if inner else [before + name]
    return found


def _section(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, Section) else None
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _section(part))), None)


def test_the_example_is_loaded_when_it_stands_beside_its_mappings(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()

    config = loaded(tmp_path, (DOCS / "radcharge.example.toml").read_text(encoding="utf-8"))

    assert [one.name for one in config.listen] == ["rv-north", "rv-campus"]
    assert config.listen[1].bind == Address("0.0.0.0", 2576)
    assert config.send[0].to == Address("127.0.0.1", 6661)
    assert config.store.path == tmp_path / "var/radcharge.db"


def test_the_example_has_every_key() -> None:
    example = (DOCS / "radcharge.example.toml").read_text(encoding="utf-8")
    sections: dict[str, set[str]] = {}
    here = ""
    for line in example.splitlines():
        if header := re.match(r"(?:# )?\[\[?([a-z_.]+)\]\]?", line):
            here = header[1]
        elif key := re.match(r"(?:# )?([a-z_]+) = ", line):
            sections.setdefault(here, set()).add(key[1])

    assert sorted(f"{name}.{key}" for name, found in sections.items() for key in found) == sorted(keys(Config))


def test_every_key_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE)

    assert sorted(documented) == sorted(keys(Config))


def test_the_defaults_that_are_shown_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    example = loaded(tmp_path, (DOCS / "radcharge.example.toml").read_text(encoding="utf-8"))
    small = loaded(tmp_path, SMALL)

    assert example.work == small.work
    assert example.listen[1].limits == small.listen[0].limits


def test_every_mistake_is_told_at_once_with_its_way_out(tmp_path: Path) -> None:
    text = SMALL.replace("America/Chicago", "America/Chicgao").replace('bind = "127.0.0.1:2575"', "bnd = 1")

    assert mistakes(tmp_path, text) == [
        "site.timezone: 'America/Chicgao' is not an IANA time zone; did you mean 'America/Chicago'?;"
        ' write a zone such as "America/Chicago"',
        'listen[rv].bind: is missing; write an address such as "127.0.0.1:2575"',
        "listen[rv].bnd: there is no such key; did you mean 'bind'?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[store]", "[stroe]", "stroe: there is no such key; did you mean 'store'?"),
        ("= 40", '= "40"', "credits.per_hour_before_pause: input should be a valid integer;"),
        ("per_hour_before_pause = 40", "", "credits.per_hour_before_pause: is missing;"),
        ('"127.0.0.1:2575"', '"2575"', "listen[rv].bind: '2575' is not a host and a port;"),
        ('"127.0.0.1:2575"', '"127.0.0.1:99999"', "listen[rv].bind: '127.0.0.1:99999' is not a host and a port;"),
        ('"127.0.0.1:2575"', '"0.0.0.0:2575"', "listen[rv]: patient data would cross the network in the clear;"),
        ('mappings = "."', 'mappings = "absent"', "rules.mappings: 'absent' is not a folder;"),
        ('"rv"', '"RV North"', "listen[RV North].name: 'RV North' is not a name of small letters"),
        ('name = "rv"', 'name = "rv"\nlimits.frame = "1 MB"', "listen[rv].limits.frame: '1 MB' is not a size;"),
        ('name = "rv"', 'name = "rv"\nlimits.frame = "17MiB"', "listen[rv].limits.frame: input should be less than"),
        ('name = "rv"', 'name = "rv"\nlimits.owd = 3', "listen[rv].limits.owd: there is no such key; did you mean"),
        ('name = "rv"', 'name = "rv"\nallow_plaintext = "x"', "listen[rv].allow_plaintext: string should have at"),
        ('name = "rv"', 'name = "rv"\ntls.cert = "no.pem"', "listen[rv].tls.cert: 'no.pem' is not a file;"),
        ("[site]", "[site", "is not TOML: "),
    ],
)
def test_a_mistake_names_its_key_and_cause(tmp_path: Path, old: str, new: str, told: str) -> None:
    found = mistakes(tmp_path, SMALL.replace(old, new, 1))

    assert any(mistake.startswith(told) for mistake in found), found


def test_plaintext_off_loopback_needs_a_written_reason(tmp_path: Path) -> None:
    send = '[[send]]\nname = "biller"\nto = "ifc.example.org:6661"\n'
    assert mistakes(tmp_path, SMALL + send) == [
        "send[biller]: patient data would cross the network in the clear; add a [send.tls] table,"
        ' or allow_plaintext = "why it is safe here"'
    ]

    config = loaded(tmp_path, SMALL + send + 'allow_plaintext = "a cable between two cards"\n')

    assert config.send[0].allow_plaintext == "a cable between two cards"


def test_names_and_ports_are_used_once(tmp_path: Path) -> None:
    again = '[[listen]]\nname = "rv"\nbind = "127.0.0.1:2575"\n'

    assert mistakes(tmp_path, SMALL + again) == [
        "listen[rv].name: is used twice; give each its own name",
        "listen[rv].bind: is used twice; give each its own port",
        "listen[rv].bind: is used twice; give each its own port",
    ]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("x")
    (tmp_path / "a.key").write_text("x")
    (tmp_path / "a.key").chmod(0o644)
    tls = SMALL + '[listen.tls]\ncert = "a.pem"\nkey = "a.key"\n'
    assert mistakes(tmp_path, tls) == [
        "listen[rv].tls.key: 'a.key' can be read by others on this machine (chmod 600);"
        " write a file with its private key (PEM), mode 600"
    ]

    (tmp_path / "a.key").chmod(0o600)

    assert loaded(tmp_path, tls).listen[0].tls is not None


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file or directory"):
        load(tmp_path / "absent.toml")


def test_a_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = loaded(tmp_path, SMALL)

    with pytest.raises(ValueError, match="frozen"):
        config.credits.per_hour_before_pause = 1_000_000  # type: ignore[misc]
