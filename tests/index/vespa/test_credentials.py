"""Certificates and token are renewed without a restart."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from index.vespa.credentials import Credentials
from index.vespa.settings import EndpointError, EndpointSettings
from tests.index.vespa.test_transport import make

URL = ("https://vespa:8443",)


def test_a_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    now, file = [0.0], tmp_path / "token"
    file.write_text("one\n")
    held = Credentials(EndpointSettings(URL, token_file=file), clock=lambda: now[0])
    assert held.current()[1] == "one"
    file.write_text("number two\n")
    assert held.current()[1] == "one"  # nobody looks at every request
    now[0] = 10.0
    assert held.current()[1] == "number two"


def test_a_renewed_pair_is_taken_when_it_is_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    old, new = make(tmp_path, "old"), make(tmp_path, "new")
    settings = EndpointSettings(
        URL, ca=old.certificate, certificate=tmp_path / "c.pem", key=tmp_path / "c.key"
    )
    (tmp_path / "c.pem").write_bytes(old.certificate.read_bytes())
    (tmp_path / "c.key").write_bytes(old.key.read_bytes())
    held = Credentials(settings, clock=lambda: now[0])
    before, _ = held.current()
    assert before is not None
    (tmp_path / "c.pem").write_bytes(new.certificate.read_bytes())
    now[0] = 10.0
    with caplog.at_level(logging.WARNING, "mrse.vespa"):
        assert held.current()[0] is before, "a certificate without its key is not used"
    assert "cannot be used" in caplog.text
    (tmp_path / "c.key").write_bytes(new.key.read_bytes())
    now[0] = 20.0
    after, _ = held.current()
    assert after is not before
    (tmp_path / "c.key").unlink()
    now[0] = 30.0
    assert held.current()[0] is after


def test_a_file_without_a_token_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(EndpointError, match="holds no token"):
        Credentials(EndpointSettings(URL, token_file=tmp_path / "token"))
    with pytest.raises(EndpointError, match="in the clear"):
        EndpointSettings(("http://vespa:8080",), token_file=tmp_path / "token")
