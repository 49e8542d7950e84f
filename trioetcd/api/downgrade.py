"""Maintenance/Downgrade: announcing that members will be replaced by those of the release before.

Nothing changes by it here but what Status says: data are the same for all releases of trioetcd.
Source: etcd server/etcdserver/v3_server.go (downgradeValidate, -Enable, -Cancel).
"""

from __future__ import annotations

from actors.cluster.membership import Membership
from actors.cluster.versions import downgrade_version, may_become
from trioetcd.api.header import HeaderWriter
from trioetcd.api.parse import parse
from trioetcd.api.proposals import Proposals
from trioetcd.api.reads import Reads
from wire.errors import (
    ClusterVersionUnavailable,
    DowngradeInProcess,
    InvalidDowngradeTarget,
    NoInflightDowngrade,
    UnknownMethod,
    WrongDowngradeVersionFormat,
)
from wire.grpc.service import Context, Registry, UnaryCall
from wire.pb import etcdserverpb, membershippb

_Request = etcdserverpb.DowngradeRequest


class DowngradeService:
    def __init__(
        self, membership: Membership, proposals: Proposals, reads: Reads, headers: HeaderWriter
    ) -> None:
        self._membership = membership
        self._proposals = proposals
        self._reads = reads
        self._headers = headers

    def register(self, registry: Registry) -> None:
        registry.unary("/etcdserverpb.Maintenance/Downgrade", self.downgrade)

    async def downgrade(self, call: UnaryCall) -> bytes:
        request = parse(_Request, call.payload)
        match request.action:
            case _Request.VALIDATE:
                await self._validated(request.version)
            case _Request.ENABLE:
                await self._announce(await self._validated(request.version), call.context)
            case _Request.CANCEL:
                await self._reads.current()
                if not self._membership.downgrade_target:
                    raise NoInflightDowngrade
                await self._announce("", call.context)
            case _:
                raise UnknownMethod
        response = etcdserverpb.DowngradeResponse(version=self._cluster_version())
        return self._headers.write(self._reads.machine.applier.store.revision) + (
            response.SerializeToString()
        )

    def _cluster_version(self) -> str:
        """Major and minor."""
        return self._membership.version.rpartition(".")[0]

    async def _validated(self, text: str) -> str:
        """The version that is meant, if the cluster may become that.  Raises EtcdError."""
        try:
            target = downgrade_version(text)
        except ValueError:
            raise WrongDowngradeVersionFormat from None
        await self._reads.current()
        if not self._membership.version:
            raise ClusterVersionUnavailable
        if not may_become(self._membership.version, target):
            raise InvalidDowngradeTarget
        if self._membership.downgrade_target:
            raise DowngradeInProcess
        return target

    async def _announce(self, target: str, caller: Context) -> None:
        request = membershippb.DowngradeInfoSetRequest(enabled=bool(target), ver=target)
        await self._proposals.propose("downgrade_info_set", request.SerializeToString(), caller)
