"""TLS, client certificates and tokens, with certificates made on the spot."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import FaultServer, answer
from index.vespa import errors
from index.vespa.client import VespaIndex
from tests.index.vespa.answers import GOOD, settings

x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography to make certificates")
hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")

QUERY = np.eye(1, 8, dtype=np.float32)


@dataclass
class Identity:
    certificate: Path
    key: Path


def make(folder: Path, name: str, *, days: int = 1, host: str = "127.0.0.1") -> Identity:
    """A certificate that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    identity = Identity(folder / f"{name}.pem", folder / f"{name}.key")
    identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    identity.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return identity


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


def server_context(identity: Identity, clients: Identity | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity.certificate, identity.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.certificate)
    return context


async def ask(url: str, **endpoints: Any) -> list[str]:
    async with VespaIndex(settings(url, **endpoints)) as index:
        (found,) = await index.search(QUERY, 10, None, Deadline.after(10))
    return found.ids


async def test_a_certificate_that_is_trusted_and_a_token(folder: Path) -> None:
    server_identity = make(folder, "server")
    async with FaultServer([answer(200, GOOD)], tls=server_context(server_identity)) as server:
        assert await ask(server.url, ca=server_identity.certificate, token="s3cret") == ["a", "b", "c"]
        assert server.requests[0].headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("case", ["nobody trusts it", "another host", "expired"])
async def test_certificates_that_are_not_taken(folder: Path, case: str) -> None:
    identity = make(
        folder,
        f"bad-{case[0]}",
        days=-1 if case == "expired" else 1,
        host="127.0.0.2" if case == "another host" else "127.0.0.1",
    )
    ca = make(folder, "other") if case == "nobody trusts it" else identity
    async with FaultServer([answer(200, GOOD)], tls=server_context(identity)) as server:
        with pytest.raises(errors.Unreachable) as raised:
            await ask(server.url, ca=ca.certificate)
        assert raised.value.reason == "tls"
        assert server.requests == []


async def test_mutual_tls(folder: Path) -> None:
    server_identity, client = make(folder, "mutual"), make(folder, "client")
    stranger = make(folder, "stranger")
    tls = server_context(server_identity, clients=client)
    ca = server_identity.certificate
    async with FaultServer([answer(200, GOOD)], tls=tls) as server:
        assert await ask(server.url, ca=ca, certificate=client.certificate, key=client.key)
        for unknown in ({}, {"certificate": stranger.certificate, "key": stranger.key}):
            with pytest.raises(errors.Unreachable):  # in TLS 1.3 only seen when reading
                await ask(server.url, ca=ca, **unknown)
        assert len(server.requests) == 1


async def test_a_certificate_of_another_host_where_that_is_allowed(folder: Path) -> None:
    identity = make(folder, "nameless", host="127.0.0.2")
    async with FaultServer([answer(200, GOOD)], tls=server_context(identity)) as server:
        assert await ask(server.url, ca=identity.certificate, check_hostname=False)
