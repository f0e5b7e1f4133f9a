"""`simulate`: the same seed is the same bytes wherever they go, and each message waits for its answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fhir_radcharge.cli import cli
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.wire import ack
from fhir_radcharge.wire.batch import messages
from fhir_radcharge.wire.mllp import Frame, Framer, frame


def simulate(*words: str) -> Result:
    return CliRunner().invoke(cli, ["simulate", *words])


@contextmanager
def listener(code: str = "AA", hangs_up_after: int = 1_000_000) -> Iterator[tuple[int, list[bytes]]]:
    """Answer every message with a code on one connection; yield the port and what was heard."""
    heard: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            channel, _ = server.accept()
        except OSError:
            return  # nobody spoke, and the listener is closed
        framer = Framer()
        with channel:
            while data := channel.recv(65_536):
                for item in framer.feed(data):
                    if isinstance(item, Frame):
                        heard.append(item.payload)
                        if len(heard) > hangs_up_after:
                            return
                        answer = ack.answer(ack.header(item.payload), code, f"A{len(heard)}", "20260302101500")
                        channel.sendall(frame(answer))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1], heard
    server.close()
    thread.join(5)


def test_a_folder_gets_the_messages_and_what_they_must_yield(tmp_path: Path) -> None:
    result = simulate("bone_2d", "-n", "2", "--seed", "7", "--to", str(tmp_path / "out"))
    entries = list(messages((tmp_path / "out/messages.hl7").read_bytes()))
    truth = (tmp_path / "out/truth.csv").read_text().splitlines()

    assert 0 == result.exit_code
    assert "course,bill,code,modifiers,units,date,hold,packaged" == truth[0]
    assert f"{len(entries)} messages of 2 courses; {len(truth) - 1} lines due by " in result.output


def test_standard_output_gets_the_same_bytes_as_a_folder(tmp_path: Path) -> None:
    words = ("lung_sbrt", "-n", "1", "--seed", "3", "--dialect", "aria_like")
    simulate(*words, "--to", str(tmp_path))
    said = simulate(*words)

    assert (tmp_path / "messages.hl7").read_bytes() == said.stdout_bytes


def test_a_listener_hears_each_message_after_its_answer_to_the_one_before(tmp_path: Path) -> None:
    with listener() as (port, heard):
        result = simulate(
            "bone_2d", "-n", "1", "--to", f"mllp://127.0.0.1:{port}", "--truth", str(tmp_path / "truth.csv")
        )

    assert 0 == result.exit_code
    assert f"{len(heard)} messages of 1 course, answered AA {len(heard)} times; " in result.output


def test_an_answer_that_is_no_acceptance_is_a_finding(tmp_path: Path) -> None:
    with listener("AE") as (port, _):
        result = simulate("bone_2d", "-n", "1", "--to", f"mllp://127.0.0.1:{port}", "--truth", str(tmp_path / "t.csv"))

    assert 1 == result.exit_code


def test_a_listener_that_is_not_there_or_hangs_up_is_unavailable(tmp_path: Path) -> None:
    with listener(hangs_up_after=2) as (port, heard):
        broken = simulate("bone_2d", "-n", "1", "--to", f"mllp://127.0.0.1:{port}", "--truth", str(tmp_path / "t.csv"))
    nobody = simulate("bone_2d", "-n", "1", "--to", f"mllp://127.0.0.1:{port}")

    assert (3, 3, 3) == (broken.exit_code, len(heard), nobody.exit_code)
    assert "nothing more was sent" in broken.output


@pytest.mark.parametrize("to", ["http://127.0.0.1:80", "mllp://127.0.0.1", "mllp://:99x"])
def test_a_place_that_is_none_is_a_mistake_of_use(to: str) -> None:
    assert isinstance(simulate("bone_2d", "-n", "1", "--to", to).exception, ConfigError)


def test_pathways_are_listed() -> None:
    assert "prostate_imrt           prostate, 28 fractions" in simulate("--list").output.splitlines()
