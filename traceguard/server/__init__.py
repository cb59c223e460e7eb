"""The one process that owns a live store: OTLP over gRPC and HTTP in, questions answered over HTTP.

What always holds: an export is answered with success only after its spans are on disk. This room is the one door to
grpc, starlette and uvicorn; they load when a server starts.
"""

from traceguard.server.door.access import Access, Role, Tls
from traceguard.server.run import Server, serve

__all__ = ["Access", "Role", "Server", "Tls", "serve"]
