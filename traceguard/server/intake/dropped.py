"""Metrics: understood well enough to say how many were dropped, and no further."""

from typing import TYPE_CHECKING

from traceguard.errors import InputError
from traceguard.server.intake.refusal import Malformed

if TYPE_CHECKING:
    from traceguard.server.intake.answers import Encoding


def data_points(body: bytes | bytearray, encoding: "Encoding") -> int:
    """The number of data points in an ExportMetricsServiceRequest; Malformed if it is not one."""
    from traceguard.otlp import points

    try:
        return points.count(body, encoding)
    except InputError as error:
        raise Malformed(str(error)) from error
