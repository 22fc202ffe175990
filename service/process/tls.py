"""TLS: the service's own certificate, and those of clients where they have to show one."""

from __future__ import annotations

import ssl

from service.errors import StartError
from service.settings import Server


def tls_context(server: Server) -> ssl.SSLContext | None:
    """What connections are encrypted with; None without a certificate. TLS 1.2 is the oldest that is spoken.

    Raises:
        StartError: a file is missing or cannot be used, or key and certificate do not go together.
    """
    certificate, key, client_ca = server.tls_certificate, server.tls_key, server.tls_client_ca
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A key with a passphrase is refused: nobody is there to be asked.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise StartError(f"tls: {certificate} with {key}: {error.strerror or error}") from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except OSError as error:
            raise StartError(f"tls: {client_ca}: {error.strerror or error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
