"""Where a server listens: `HOST:PORT` as text and as a value; addresses beyond this machine need consent."""

import ipaddress
from dataclasses import dataclass

from traceguard.errors import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name or IP address, without brackets) and a port; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`127.0.0.1:4318`, `localhost:0` or `[::1]:4318`; anything else is a UsageError."""
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise UsageError(f"{text!r} is not an address to listen on; write HOST:PORT, such as 127.0.0.1:4318.")
        if ":" in host and not bracketed:
            raise UsageError(f"{text!r} is ambiguous; write an IPv6 address in brackets, such as [::1]:4318.")
        return cls(host[1:-1] if bracketed else host, int(port))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def refuse_unless_loopback(self) -> None:
        """UsageError for an address that others can reach; nothing keeps them out."""
        if not self.loopback:
            raise UsageError(
                f"{self} can be reached from other machines; set tokens (TRACEGUARD_WRITE_TOKEN and"
                " TRACEGUARD_READ_TOKEN), or ask for client certificates with --tls-client-ca, or listen on 127.0.0.1."
                " With --insecure everyone who reaches it may read and write this store."
            )

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
