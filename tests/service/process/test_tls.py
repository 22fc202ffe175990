"""The port speaks TLS, and where clients have to show a certificate nobody else is let in."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.errors import StartError
from service.process.configuration import server_config
from service.process.tls import tls_options
from service.settings import Server, Settings, SettingsError, load_settings
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving

_NO_ENCRYPTION = serialization.NoEncryption()


class Authority:
    """A CA that makes certificates with keys, as files."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        own = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a name at 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        made = self._signed(subject, key, address)
        certificate, secret = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(pem, form, _NO_ENCRYPTION))
        return certificate, secret

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now, ours = datetime.now(UTC), self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(extension, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ours), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


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
    assert (config.ssl_certfile, config.ssl_keyfile) == (certificate, key)
    assert config.ssl_cert_reqs == ssl.CERT_NONE
    assert config.proxy_headers is False
    assert server_config(Settings(), None).is_ssl is False


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
            tls_options(Server(**dict(zip(names, options, strict=True))))


@pytest.mark.parametrize("group", [{"tls_certificate": "a"}, {"tls_key": "a"}, {"tls_client_ca": "a"}])
def test_settings_that_lack_a_part_are_refused(group: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="tls_certificate"):
        load_settings(None, {"server": group})
