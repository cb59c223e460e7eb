"""Executions to span rows: one for every run, and one for every call that its caller reports."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from traceguard.simulate.draws import Keys, mix
from traceguard.simulate.execution import OK, UPSTREAM, Block, Execution
from traceguard.simulate.fleet import Fleet, Operation, Value
from traceguard.simulate.recording import Evaluations, Rows, Site, Skeleton
from traceguard.simulate.text import hex_of, prefixed
from traceguard.simulate.traffic import Process, Requests, evaluable

Columns = tuple[NDArray[np.generic], ...]
SDK_VERSION = "1.45.0"


def lay_out(fleet: Fleet, requests: Requests, execution: Execution) -> Skeleton:
    """The spans of an execution as numbers, with everything that their text is made from."""
    layout = _Layout(fleet, requests)
    for block in execution.blocks:
        layout.add(block)
    rows, position = layout.sorted()
    return Skeleton(
        sites=tuple(layout.sites),
        resources=tuple(_resource(fleet, process) for process in requests.processes),
        rows=rows,
        evaluations=_evaluations(fleet, requests, execution, layout.first_row, position),
        trace_high=mix(requests.keys, "trace/high"),
        trace_low=mix(requests.keys, "trace/low"),
        users=prefixed("user-", hex_of(requests.user_key), 8),
        sessions=prefixed("session-", hex_of(requests.session_key), 12),
    )


class _Layout:
    """Rows as they are collected, block by block; `first_row` is where each block's runs begin before sorting."""

    def __init__(self, fleet: Fleet, requests: Requests) -> None:
        self.fleet = fleet
        self.requests = requests
        self.numbers = {service.name: number for number, service in enumerate(fleet.services)}
        self.entries = {(entry.service, entry.operation) for entry in fleet.entries}
        self.sites: list[Site] = []
        self.known: dict[tuple[str, str, str], int] = {}  # (reporting service, callee's service and name) → site
        self.columns: list[Columns] = []
        self.first_row: list[int] = []
        self.count = 0

    def add(self, block: Block) -> None:
        """The rows of a block: the caller's CLIENT or PRODUCER spans where it has them, then the runs themselves."""
        operation, caller = block.operation, block.caller
        parent = np.zeros_like(block.key)
        if caller is not None and block.call is not None:
            parent = _ids(caller.key, "run")[block.rows]
            if operation.kind in ("server", "consumer") and block.call.client_span:
                through = _ids(block.key, "caller")
                begin = caller.start[block.rows] + block.offset
                fails = operation.kind == "server"  # whoever publishes does not learn how the message fares
                failure = np.where(block.failure == OK, OK, UPSTREAM if fails else OK).astype(np.int8)
                site = self._site(operation, caller.operation.service, called=True)
                self._append(block, site, through, parent, begin, begin + block.occupied, failure, remote=False)
                parent = through
        self.first_row.append(self.count)
        site = self._site(operation, operation.service, called=False)
        remote = caller is not None and operation.kind in ("server", "consumer")
        self._append(
            block,
            site,
            _ids(block.key, "run"),
            parent,
            block.start,
            block.start + block.duration,
            block.failure,
            remote=remote,
        )

    def sorted(self) -> tuple[Rows, NDArray[np.int64]]:
        """All rows in order of request and start, and where each collected row went."""
        request, site, process, span, parent, start, end, failure, remote = (
            np.concatenate(parts) for parts in zip(*self.columns, strict=True)
        )
        order = np.lexsort((start, request))
        position = np.empty(self.count, np.int64)
        position[order] = np.arange(self.count)
        rows = Rows(
            request=request[order], site=site[order], process=process[order], span=span[order], parent=parent[order],
            start=start[order], end=end[order], failure=failure[order], remote=remote[order],
        )  # fmt: skip
        return rows, position

    def _append(
        self, block: Block, site: int, span: Keys, parent: Keys, start: NDArray[np.int64], end: NDArray[np.int64],
        failure: NDArray[np.int8], *, remote: bool,
    ) -> None:  # fmt: skip
        size = span.size
        process = self.requests.process[self.sites[site].service][block.request]
        self.columns.append((
            block.request, np.full(size, site, np.int32), process, span, parent, start, end, failure,
            np.full(size, remote),
        ))  # fmt: skip
        self.count += size

    def _site(self, operation: Operation, service: str, *, called: bool) -> int:
        """The number of the place in `service` that runs the operation, or calls it."""
        key = (service if called else "", operation.service, operation.name)
        if key not in self.known:
            self.known[key] = len(self.sites)
            number = self.numbers[service]
            serves = not called and operation.kind in ("server", "consumer")
            entry = (operation.service, operation.name) in self.entries
            self.sites.append(Site(
                service=number,
                name=(operation.caller_name or operation.name) if called else operation.name,
                kind={"server": "client", "consumer": "producer"}[operation.kind] if called else operation.kind,
                attributes=_attributes(operation, called=called),
                failed=_failed(operation),
                tagged=serves and (entry or self.fleet.services[number].tags_user),
            ))  # fmt: skip
        return self.known[key]


def _ids(keys: Keys, purpose: str) -> Keys:
    """Span ids of runs (or of the calls that led to them); never zero, which OTLP forbids."""
    return np.maximum(mix(keys, "span/" + purpose), np.uint64(1))


def _attributes(operation: Operation, *, called: bool) -> dict[str, Value]:
    attributes = dict(operation.attributes)
    if called and operation.kind == "server":
        attributes.pop("http.route", None)
        attributes["server.address"] = operation.service
    if operation.kind == "consumer":
        attributes["messaging.operation.type"] = "send" if called else "process"
    if "http.request.method" in attributes:
        attributes["http.response.status_code"] = 200
    if "rpc.system.name" in attributes:
        attributes["rpc.response.status_code"] = "OK"
    return attributes or {"code.function.name": operation.name}


def _failed(operation: Operation) -> dict[str, Value]:
    """What changes on a span that failed (semantic conventions: error.type and the protocol's status code)."""
    if "http.request.method" in operation.attributes:
        return {"http.response.status_code": 500, "error.type": "500"}
    if "rpc.system.name" in operation.attributes:
        return {"rpc.response.status_code": "INTERNAL", "error.type": "INTERNAL"}
    return {"error.type": "timeout" if operation.kind == "client" else "_OTHER"}


def _resource(fleet: Fleet, process: Process) -> Mapping[str, Value]:
    service = fleet.services[process.service]
    return {
        "service.name": service.name, "service.namespace": fleet.name, "service.version": process.version,
        "service.instance.id": process.instance, "deployment.environment.name": fleet.environment,
        "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": service.language,
        "telemetry.sdk.version": SDK_VERSION,
    }  # fmt: skip


def _evaluations(
    fleet: Fleet, requests: Requests, execution: Execution, first_row: list[int], position: NDArray[np.int64]
) -> Evaluations:
    parts: list[Columns] = []
    logged = {service.name: service.flags_as == "log" for service in fleet.services}
    for number, flag in enumerate(fleet.flags):
        may = evaluable(fleet, requests, flag)
        for block, first in zip(execution.blocks, first_row, strict=True):
            operation = block.operation
            anywhere = operation.kind in ("server", "consumer") and (operation.service, None) in flag.evaluated_in
            if not anywhere and (operation.service, operation.name) not in flag.evaluated_in:
                continue
            runs = np.flatnonzero(may[block.request])
            gap = block.segment if block.stages else block.last_segment
            # In the first part of the run's own time, one flag after the other.
            time = block.start[runs] + gap[runs] * (number + 1) // (2 * len(fleet.flags))
            level = requests.assigned[number][block.request[runs]].astype(np.int32)
            parts.append((
                position[first + runs], np.full(runs.size, number, np.int32), level, time,
                np.full(runs.size, logged[operation.service]),
            ))  # fmt: skip
    if not parts:
        empty = np.empty(0, np.int64)
        return Evaluations(empty, empty.astype(np.int32), empty.astype(np.int32), empty, empty.astype(np.bool_))
    row, flags, level, time, as_log = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((time, row))
    return Evaluations(row[order], flags[order], level[order], time[order], as_log[order])
