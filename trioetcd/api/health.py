"""The gRPC health service: once the port is open, the server as a whole is healthy.

Source: grpc/doc/health-checking.md; etcd server/etcdserver/api/v3rpc/health.go.
"""

from __future__ import annotations

import trio

from trioetcd.api.parse import parse, parse_streamed
from wire.errors import UnknownHealthService
from wire.grpc.service import Registry, ServerStream, UnaryCall
from wire.pb import healthpb

_SERVICE = "/grpc.health.v1.Health"
_Response = healthpb.HealthCheckResponse


class HealthService:
    def register(self, registry: Registry) -> None:
        registry.unary(f"{_SERVICE}/Check", self.check)
        registry.unary(f"{_SERVICE}/List", self.list)
        registry.stream(f"{_SERVICE}/Watch", self.watch, "server_stream")

    async def check(self, call: UnaryCall) -> bytes:
        if parse(healthpb.HealthCheckRequest, call.payload).service:
            raise UnknownHealthService
        return _Response(status=_Response.SERVING).SerializeToString()

    async def list(self, call: UnaryCall) -> bytes:
        """The one service there is, which has no name, and its state."""
        parse(healthpb.HealthListRequest, call.payload)
        statuses = {"": _Response(status=_Response.SERVING)}
        return healthpb.HealthListResponse(statuses=statuses).SerializeToString()

    async def watch(self, stream: ServerStream) -> None:
        """The state now, and every change of it: there is none before the port closes."""
        request = parse_streamed(healthpb.HealthCheckRequest, await stream.receive() or b"")
        known = not request.service
        state = _Response.SERVING if known else _Response.SERVICE_UNKNOWN
        await stream.send(_Response(status=state).SerializeToString())
        await trio.sleep_forever()
