"""The port speaks TLS, and where clients have to show a certificate nobody else is let in."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from service.errors import StartError
from service.process.configuration import server_config
from service.process.handshake import Handshake
from service.process.protocol import Protocol
from service.process.tls import tls_context
from service.settings import Server, Settings, SettingsError, load_settings
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving
from tests.support.tls import Authority


def client(url: str, authority: Authority, shown: tuple[Path, Path] | None = None) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(authority.file))
    if shown is not None:
        context.load_cert_chain(*shown)
    return httpx.Client(base_url=url, verify=context, timeout=60)


def test_only_clients_with_a_certificate_of_the_authority_are_let_in(demo: Demo, tmp_path: Path) -> None:
    ours, strangers = Authority(tmp_path, "ours"), Authority(tmp_path, "strangers")
    certificate, key = ours.issue("service")
    tls = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": ours.file}
    with serving(make_settings(demo.bundle.path, demo.index, server=tls)) as server:
        assert server.url.startswith("https://")
        with client(server.url, ours, ours.issue("shop")) as known:
            for _ in range(3):
                answer = known.post("/recall", json={"query": "red running shoes", "k": 3})
                assert (answer.status_code, len(answer.json()["items"])) == (200, 3)
            assert known.post("/recall", content=b"x" * 100_000).status_code in (400, 413)
        for shown in (None, strangers.issue("stranger")):
            with (
                client(server.url, ours, shown) as refused,
                pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)),
            ):
                refused.get("/livez")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(server.url.replace("https", "http") + "/livez")


def test_the_real_server_is_told(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "ours").issue("service")
    settings = Settings(server=Server(tls_certificate=certificate, tls_key=key))
    config = server_config(settings, None)
    config.load()
    assert config.http_protocol_class.func is Handshake  # type: ignore[attr-defined]
    assert config.ssl is None, "nothing but `Handshake` shakes hands"
    assert config.proxy_headers is False
    assert server_config(Settings(), None).http is Protocol
    assert settings.server.url(8443) == "https://127.0.0.1:8443"
    assert Server(host="::1").url(8080) == "http://[::1]:8080"


def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    certificate, key = ours.issue("service")
    context = tls_context(Server(tls_certificate=certificate, tls_key=key))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
    with_clients = tls_context(Server(tls_certificate=certificate, tls_key=key, tls_client_ca=ours.file))
    assert with_clients is not None
    assert with_clients.verify_mode == ssl.CERT_REQUIRED


def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    certificate, key = authority.issue("service")
    _, other = authority.issue("other")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for options, said in (
        ((certificate, other, None), "service.crt"),
        ((tmp_path / "absent", key, None), "absent"),
        ((empty, key, None), "empty"),
        ((certificate, key, empty), "empty"),
    ):
        names = ("tls_certificate", "tls_key", "tls_client_ca")
        with pytest.raises(StartError, match=said):
            tls_context(Server(**dict(zip(names, options, strict=True))))


@pytest.mark.parametrize("group", [{"tls_certificate": "a"}, {"tls_key": "a"}, {"tls_client_ca": "a"}])
def test_settings_that_lack_a_part_are_refused(group: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="tls_certificate"):
        load_settings(None, {"server": group})
