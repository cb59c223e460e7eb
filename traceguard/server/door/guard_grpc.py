"""The door of the gRPC port: who calls may write, or is refused before a byte of the message is read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from traceguard.server.door.guard_http import bearer
from traceguard.server.intake.otlp_grpc import abort
from traceguard.server.intake.refusal import Refusal

if TYPE_CHECKING:
    from traceguard.server.door.access import Access, Tls


class Guard(grpc.ServerInterceptor):  # type: ignore[misc]
    """Passes on calls that bear a token to write; `refused` is told of the others."""

    def __init__(self, access: "Access", refused: Callable[[Refusal], None]) -> None:
        self._access = access
        self._refused = refused

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler of the call, or one that refuses it; this runs when the metadata has come, before the message."""
        given = [value for key, value in handler_call_details.invocation_metadata if key == "authorization"]
        try:
            self._access.check("write", bearer(given[0]) if len(given) == 1 else None)
        except Refusal as refusal:
            return self._refusing(refusal)
        return continuation(handler_call_details)

    def _refusing(self, refusal: Refusal) -> Any:
        def refuse(_: Any, context: Any) -> None:
            self._refused(refusal)
            abort(context, refusal)

        # A stream is read only if the handler asks for it; on the wire a single message looks the same.
        return grpc.stream_unary_rpc_method_handler(refuse)


def credentials(tls: "Tls") -> Any:
    """TLS for gRPC's port."""
    authority = None if tls.client_ca is None else tls.client_ca.read_bytes()
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)
