"""From a client's request to a proposal, and from its result to the answer.

Everything that changes the store goes through here: the hot path hands over all the writes of
one chunk at once, everything else one at a time.
Source: etcd server/etcdserver/v3_server.go (processInternalRaftRequestOnce).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from actors.apply.applier import Result
from actors.apply.operation import header_field, tag_of, wrap
from actors.apply.stages import Stages
from actors.auth.identity import NOBODY, Identity
from actors.auth.store import ROOT
from actors.kernel import ActorStopped, Reply
from trioetcd.api.permissions import Permissions
from wire.errors import EtcdError, RequestTimeout, RequestTooLarge, Stopped
from wire.grpc.service import Context

DEFAULT_MAX_REQUEST_BYTES = 1_572_864
REQUEST_OVERHEAD_BYTES = 512 * 1024  # what gRPC accepts beyond the request limit
REQUEST_TIMEOUT_BASE = 5.0  # seconds; two election timeouts come on top


class RaftHandle(Protocol):
    """What proposing needs of raft."""

    async def propose(
        self, entries: Sequence[bytes], reply: Reply[list[Result]], stages: Stages | None = None
    ) -> object:
        """Waits for room only; `reply` hears the results, one an entry."""
        ...


class Proposals:
    """Makes entries out of requests and hands them to raft."""

    def __init__(
        self,
        raft: RaftHandle,
        next_id: Callable[[], int],
        permissions: Permissions,
        *,
        request_timeout: float,
        max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES,
    ) -> None:
        self._raft = raft
        self._next_id = next_id
        self._permissions = permissions
        self.timeout = request_timeout
        self._max_bytes = max_request_bytes
        self.pending = 0  # single ones; the hot path knows of its own
        self.timed_out = 0

    def entry(self, tag: bytes, payload: bytes, who: Identity = NOBODY) -> bytes:
        """An entry's data around a request that goes in as the client sent it.

        Raises:
            RequestTooLarge: with all that goes around it, it is over the limit.
        """
        if who is NOBODY:
            header = header_field(self._next_id())
        else:
            header = header_field(self._next_id(), who.username, who.revision)
        data = wrap(tag, payload, header)
        if len(data) > self._max_bytes:
            raise RequestTooLarge
        return data

    async def hand_over(
        self, entries: Sequence[bytes], reply: Reply[list[Result]], stages: Stages
    ) -> None:
        """Many entries at once; `reply` hears of all of them together."""
        await self._raft.propose(entries, reply, stages)

    async def propose(
        self, name: str, payload: bytes, caller: Context | None = None
    ) -> tuple[int, bytes]:
        """Propose one request ("lease_grant", …) and wait until it is applied.

        For whoever makes the call with this context; without one, for the member itself.
        Returns the store's revision and the response's bytes without a header.

        Raises:
            EtcdError: it was refused; RequestTimeout: nobody knows.
        """
        who = NOBODY if caller is None else await self._permissions.who(caller)
        return await self.propose_entry(self.entry(tag_of(name), payload, who))

    async def propose_as_root(self, name: str, payload: bytes) -> tuple[int, bytes]:
        """`propose` for the member itself, of what is judged by the user's rights."""
        auth = self._permissions.auth
        who = Identity(ROOT, auth.revision) if auth.enabled else NOBODY
        return await self.propose_entry(self.entry(tag_of(name), payload, who))

    async def propose_entry(self, data: bytes) -> tuple[int, bytes]:
        """`propose` for an entry that is made already."""
        reply: Reply[list[Result]] = Reply()
        self.pending += 1
        try:
            with trio.move_on_after(self.timeout) as waiting:
                await self._raft.propose([data], reply)
                [result] = await reply.wait()
        except ActorStopped:
            raise Stopped from None
        finally:
            self.pending -= 1
        if waiting.cancelled_caught:
            self.timed_out += 1
            raise RequestTimeout
        if isinstance(result, EtcdError):
            raise result
        return result
