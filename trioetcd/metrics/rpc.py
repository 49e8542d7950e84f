"""Calls: what go-grpc-prometheus counts, and etcd's own count of who calls.

Source: go-grpc-prometheus server_metrics.go; etcd server/etcdserver/api/v3rpc/metrics.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from trioetcd.api.handling import HandlingTimes
from trioetcd.metrics.families import Family, counter, histogram
from trioetcd.metrics.names import code_name
from wire.grpc.service import Method, Registry
from wire.status import Status


def labels_of(method: Method) -> dict[str, str]:
    return {
        "grpc_method": method.name,
        "grpc_service": method.service,
        "grpc_type": method.kind,
    }


def families(registry: Registry, handling: HandlingTimes) -> Iterator[Family]:
    started = counter("grpc_server_started_total", "RPCs started on the server.")
    handled = counter(
        "grpc_server_handled_total", "RPCs completed on the server, whatever their outcome."
    )
    received = counter("grpc_server_msg_received_total", "Messages of RPCs received on the server.")
    sent = counter("grpc_server_msg_sent_total", "Messages of RPCs sent by the server.")
    for method in sorted(registry.methods.values(), key=lambda one: one.path):
        counts, labels = method.counts, labels_of(method)
        started.add(counts.started, **labels)
        received.add(counts.received, **labels)
        sent.add(counts.messages_sent, **labels)
        ended = counts.handled
        for status in Status:
            handled.add(ended.get(status, 0), grpc_code=code_name(status), **labels)
    yield from (started, handled, received, sent)
    times = histogram("grpc_server_handling_seconds", "How long RPCs took to be handled.")
    for path, durations in sorted(handling.durations.items()):
        times.observe(durations, **labels_of(registry.methods[path.encode()]))
    yield times
    yield _clients(registry)
    yield counter(
        "etcd_network_client_grpc_received_bytes_total",
        "Bytes of requests received from clients.",
        registry.received_bytes,
    )
    yield counter(
        "etcd_network_client_grpc_sent_bytes_total",
        "Bytes of responses sent to clients.",
        registry.sent_bytes,
    )


def _clients(registry: Registry) -> Family:
    """By kind of call and the version that the client says it is of."""
    counts: dict[tuple[str, str], int] = {}
    for method in registry.methods.values():
        kind = "unary" if method.kind == "unary" else "stream"
        for version, arrivals in method.counts.arrivals.items():
            counts[kind, version] = counts.get((kind, version), 0) + arrivals.started
    family = counter("etcd_server_client_requests_total", "Requests by the client's version.")
    for (kind, version), count in sorted(counts.items()):
        if count:
            family.add(count, client_api_version=version, type=kind)
    return family
