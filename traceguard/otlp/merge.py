"""What protobuf allows and nobody sends: a message that may stand once, in pieces that stand apart.

A resource, a scope, a log's body or a value that comes twice is one message, of which the second adds to the first. The
loops find that out and leave off; here protobuf's own library puts the pieces together. Text is read as bytes, so that
what is no UTF-8 is repaired later and not refused. Its objects take some forty times the room of the body, which bounds
how large one may be.
"""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import InputError

_LARGEST = 2**22


class RepeatedError(Exception):
    """A message that may stand once came twice; internal to this room."""


def merged(buf: NDArray[np.uint8], signal: Literal["traces", "logs"]) -> NDArray[np.uint8]:
    """The same request with each such message in one piece; InputError when protobuf does not read it."""
    from google.protobuf.message import DecodeError

    if buf.size > _LARGEST:
        message = (
            f"The body repeats a field that stands once, and has more than {_LARGEST} bytes; send smaller batches."
        )
        raise InputError(message)
    try:
        whole = _request(signal).FromString(buf.tobytes()).SerializeToString()
    except DecodeError:
        message = "The body is no OTLP protobuf request, or it is damaged; send it whole and unchanged."
        raise InputError(message) from None
    return np.frombuffer(whole, np.uint8)


@lru_cache(maxsize=2)
def _request(signal: Literal["traces", "logs"]) -> Any:
    """The class of a request whose text fields are bytes, which are written alike and not checked."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
    from opentelemetry.proto.logs.v1 import logs_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2

    pool = DescriptorPool()

    def add(file: Any) -> None:
        for needed in file.dependencies:
            add(needed)
        copy = FileDescriptorProto()
        file.CopyToProto(copy)
        messages = list(copy.message_type)
        while messages:
            message = messages.pop()
            messages.extend(message.nested_type)
            for field in message.field:
                if field.type == FieldDescriptorProto.TYPE_STRING:
                    field.type = FieldDescriptorProto.TYPE_BYTES
        pool.Add(copy)

    root = trace_pb2.TracesData.DESCRIPTOR if signal == "traces" else logs_pb2.LogsData.DESCRIPTOR
    add(root.file)
    return GetMessageClass(pool.FindMessageTypeByName(root.full_name))
