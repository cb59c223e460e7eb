"""Addresses to listen on."""

import pytest

from traceguard.errors import UsageError
from traceguard.server import Access, Server
from traceguard.server.door.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:4318", "127.0.0.1", 4318), ("localhost:0", "localhost", 0), ("[::1]:99", "::1", 99)],
)
def test_addresses_read_and_write_the_same(text: str, host: str, port: int) -> None:
    """HOST:PORT, brackets around IPv6."""
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, text)
    assert address.loopback


@pytest.mark.parametrize(
    "text", ["", "4318", ":4318", "host:", "host:http", "host:70000", "::1:4318", "host:-1", "h:٣"]
)
def test_other_text_is_refused(text: str) -> None:
    """What is no address is named, with an example of one."""
    with pytest.raises(UsageError, match="such as"):
        Address.parse(text)


@pytest.mark.parametrize("text", ["0.0.0.0:4318", "[::]:4318", "example.com:4318", "10.0.0.1:0"])
def test_other_machines_need_tokens_certificates_or_consent(text: str) -> None:
    """A server that others can reach is refused unless something keeps them out or someone lets them in."""
    assert not Address.parse(text).loopback
    with pytest.raises(UsageError, match=r"set tokens .*TRACEGUARD_WRITE_TOKEN.*--insecure"):
        Server("store.duckdb", http=text)
    with pytest.raises(UsageError, match="--tls-client-ca"):
        Server("store.duckdb", grpc=text)
    Server("store.duckdb", grpc=text, http=text, insecure=True)
    Server("store.duckdb", grpc=text, http=text, access=Access.of(write="w" * 16, read="r" * 16))
