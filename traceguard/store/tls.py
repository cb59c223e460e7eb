"""Certificates and keys from files, for both ends of a connection: the server's ports, and whoever asks a server.

Files are PEM. One that is missing, unreadable or not what it should be is a UsageError, a sentence that names it. Keys
under a passphrase are refused: nobody is there to type it when a service starts.
"""

import ssl
from pathlib import Path

from traceguard.errors import UsageError

# OpenSSL's reasons for a key that belongs to another certificate.
_MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer with a certificate chain and its key; with `client_ca`, clients must show one that it signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _own(context, certificate, key)
    if client_ca is not None:
        _trust(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: Path | None = None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Verifies the server by `ca` (default: the system's authorities); `certificate` and `key` are shown if asked for.

    A certificate without `key` holds its key in the same file.
    """
    context = ssl.create_default_context() if ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        _trust(context, ca)
    if certificate is not None:
        _own(context, certificate, key or certificate)
    elif key is not None:
        raise UsageError(f"The key {key} has no certificate beside it; name the client's certificate, too.")
    return context


def read(path: Path, what: str) -> bytes:
    """The bytes of a file that the sentence of the error calls `what`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read ({error.strerror}); correct the path or its rights.") from None


def _own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    def passphrase() -> str:
        raise UsageError(f"The key {key} is under a passphrase; name one without, such as `openssl pkey` writes.")

    read(certificate, "The certificate")
    read(key, "The key")
    try:
        context.load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as error:
        if error.reason in _MISMATCH:
            sentence = (
                f"The key {key} does not belong to the certificate {certificate}; name the two that were made together."
            )
        else:
            sentence = f"{certificate} and {key} are not a certificate and its key as PEM ({_reason(error)})."
        raise UsageError(sentence) from None


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    read(ca, "The authority's certificate")
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise UsageError(f"{ca} holds no authority's certificate as PEM ({_reason(error)}).") from None


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
