"""The replicated state machine: what each committed entry does.

Every member applies the same entries in the same order, so nothing here may depend on
anything but the entry and the state: no clock, no chance, nothing that two members may be
configured differently in.  The quota is therefore not looked at here but before proposing.
Source: etcd server/etcdserver/apply (uber_applier, backend, capped, corrupt).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import DecodeError

from actors.apply.alarms import Alarms
from actors.apply.authority import Authority
from actors.apply.operation import FIELDS, Malformed, unwrap, user_of
from actors.apply.quota import cost_of_txn
from actors.apply.times import PUT, ApplyTimes
from actors.auth.checks import Checks
from actors.auth.identity import NOBODY, Identity
from actors.auth.store import AuthStore
from actors.lease.table import LeaseTable
from actors.mvcc.store import Store
from wire.errors import Corrupt, EtcdError, NoSpace, Refused, UnknownMethod
from wire.pb import etcdserverpb, membershippb
from wire.status import Status
from wire.varint import encode, encode_signed

Result = tuple[int, bytes] | EtcdError  # store revision and body, or the refusal

_GET, _ACTIVATE, _DEACTIVATE = 0, 1, 2  # AlarmRequest.AlarmAction


class Members(Protocol):
    """The membership, as far as ordinary entries reach it (raft's own changes come apart)."""

    def update_attributes(self, member_id: int, name: str, client_urls: list[str]) -> None: ...

    def set_version(self, version: str) -> None: ...

    def set_downgrade(self, target: str) -> None: ...


class Applier:
    """Owns nothing of its own: it says which part of the state an entry changes, and how."""

    def __init__(
        self,
        store: Store,
        leases: LeaseTable,
        alarms: Alarms,
        members: Members,
        auth: AuthStore,
    ) -> None:
        self.store = store
        self.leases = leases
        self.alarms = alarms
        self.members = members
        self.auth = auth
        self.checks = Checks(auth, leases)
        self._authority = Authority(self.checks)
        self.times = ApplyTimes()
        self._apply: dict[int, Callable[[bytes], tuple[int, bytes]]] = {PUT: self._put}
        self._apply |= {
            FIELDS[name]: self.times.counted(FIELDS[name], step)
            for name, step in {
                "range": self._range,
                "delete_range": self._delete_range,
                "txn": self._txn,
                "compaction": self._compaction,
                "lease_grant": self._lease_grant,
                "lease_revoke": self._lease_revoke,
                "lease_checkpoint": self._lease_checkpoint,
                "alarm": self._alarm,
                "cluster_version_set": self._cluster_version_set,
                "cluster_member_attr_set": self._member_attributes,
                "downgrade_info_set": self._downgrade,
            }.items()
        }
        # With authentication on, these look at who asks, too.
        self._apply_for: dict[int, Callable[[bytes, Identity], tuple[int, bytes]]] = {
            PUT: self._put_for
        }
        self._apply_for |= {
            FIELDS[name]: self.times.counted(FIELDS[name], checked)
            for name, checked in {
                "range": self._range_for,
                "delete_range": self._delete_range_for,
                "txn": self._txn_for,
                "lease_revoke": self._lease_revoke_for,
            }.items()
        }

    def apply(self, data: bytes, index: int) -> Result:
        """Do what the data of the entry at `index` ask for; the answer is for who proposed it.

        A refusal changes nothing.  An entry that is no request at all, or one of a kind that
        this release does not know, is refused too: every member of the release does the same.
        """
        try:
            number, payload = unwrap(data)
            if self.auth.enabled:
                checked = self._apply_for.get(number)
                if checked is not None:
                    return checked(payload, Identity(*user_of(data)))
            step = self._apply.get(number)
            if step is None:
                return self._apply_rare(number, payload, data, index)
            return step(payload)
        except EtcdError as refusal:
            self.times.refused(number)
            return refusal
        except (Malformed, DecodeError) as error:
            self.times.odd += 1
            return Refused(Status.INTERNAL, f"grpc: error unmarshalling request: {error}")

    def _apply_rare(self, number: int, payload: bytes, data: bytes, index: int) -> Result:
        if number not in self._authority.steps:
            self.times.odd += 1
            return UnknownMethod()
        who = Identity(*user_of(data)) if self.auth.enabled else NOBODY
        body = self._authority.apply(number, payload, who, index)
        self.times.did(number)
        return self.store.revision, body

    # The hot one comes first, and is not counted; the others follow the table above.

    def _put(self, payload: bytes) -> tuple[int, bytes]:
        if self.alarms.active:
            self._refuse_write(grows=True)
        return self.store.apply_put(etcdserverpb.PutRequest.FromString(payload))

    def _range(self, payload: bytes) -> tuple[int, bytes]:
        return self.store.apply_range(etcdserverpb.RangeRequest.FromString(payload))

    def _delete_range(self, payload: bytes) -> tuple[int, bytes]:
        self._refuse_write()
        return self.store.apply_delete_range(etcdserverpb.DeleteRangeRequest.FromString(payload))

    def _txn(self, payload: bytes) -> tuple[int, bytes]:
        request = etcdserverpb.TxnRequest.FromString(payload)
        if self.alarms.active:
            self._refuse_write(grows=cost_of_txn(request) > 0)
        return self.store.apply_txn(request)

    def _compaction(self, payload: bytes) -> tuple[int, bytes]:
        self._refuse_write()
        return self.store.apply_compaction(etcdserverpb.CompactionRequest.FromString(payload))

    def _lease_grant(self, payload: bytes) -> tuple[int, bytes]:
        self._refuse_write(grows=True)
        request = etcdserverpb.LeaseGrantRequest.FromString(payload)
        ttl = self.leases.grant(request.ID, request.TTL)
        body = b"\x10" + encode_signed(request.ID) + b"\x18" + encode(ttl)
        return self.store.revision, body

    def _lease_revoke(self, payload: bytes) -> tuple[int, bytes]:
        self._refuse_write()
        request = etcdserverpb.LeaseRevokeRequest.FromString(payload)
        self.store.delete_keys(self.leases.revoke(request.ID))
        return self.store.revision, b""

    def _lease_checkpoint(self, payload: bytes) -> tuple[int, bytes]:
        request = etcdserverpb.LeaseCheckpointRequest.FromString(payload)
        for checkpoint in request.checkpoints:
            self.leases.checkpoint(checkpoint.ID, checkpoint.remaining_TTL)
        return self.store.revision, b""

    def _alarm(self, payload: bytes) -> tuple[int, bytes]:
        request = etcdserverpb.AlarmRequest.FromString(payload)
        rows: list[bytes] = []
        if request.action == _GET:
            rows = self.alarms.get(request.alarm)
        elif request.action == _ACTIVATE and request.alarm:
            rows = [self.alarms.activate(request.memberID, request.alarm)]
        elif request.action == _DEACTIVATE:
            row = self.alarms.deactivate(request.memberID, request.alarm)
            rows = [] if row is None else [row]
        return self.store.revision, b"".join(b"\x12" + encode(len(row)) + row for row in rows)

    def _cluster_version_set(self, payload: bytes) -> tuple[int, bytes]:
        request = membershippb.ClusterVersionSetRequest.FromString(payload)
        self.members.set_version(request.ver)
        return self.store.revision, b""

    def _downgrade(self, payload: bytes) -> tuple[int, bytes]:
        request = membershippb.DowngradeInfoSetRequest.FromString(payload)
        self.members.set_downgrade(request.ver if request.enabled else "")
        return self.store.revision, b""

    def _member_attributes(self, payload: bytes) -> tuple[int, bytes]:
        request = membershippb.ClusterMemberAttrSetRequest.FromString(payload)
        attributes = request.member_attributes
        self.members.update_attributes(
            request.member_ID, attributes.name, list(attributes.client_urls)
        )
        return self.store.revision, b""

    # The same for somebody: what the alarms forbid, they forbid everybody, and first.

    def _put_for(self, payload: bytes, who: Identity) -> tuple[int, bytes]:
        self._refuse_write(grows=True)
        request = etcdserverpb.PutRequest.FromString(payload)
        self.checks.put(who, request)
        return self.store.apply_put(request)

    def _range_for(self, payload: bytes, who: Identity) -> tuple[int, bytes]:
        request = etcdserverpb.RangeRequest.FromString(payload)
        self.checks.range(who, request)
        return self.store.apply_range(request)

    def _delete_range_for(self, payload: bytes, who: Identity) -> tuple[int, bytes]:
        self._refuse_write()
        request = etcdserverpb.DeleteRangeRequest.FromString(payload)
        self.checks.delete_range(who, request)
        return self.store.apply_delete_range(request)

    def _txn_for(self, payload: bytes, who: Identity) -> tuple[int, bytes]:
        request = etcdserverpb.TxnRequest.FromString(payload)
        if self.alarms.active:
            self._refuse_write(grows=cost_of_txn(request) > 0)
        self.checks.txn(who, request)
        return self.store.apply_txn(request)

    def _lease_revoke_for(self, payload: bytes, who: Identity) -> tuple[int, bytes]:
        self._refuse_write()
        lease = etcdserverpb.LeaseRevokeRequest.FromString(payload).ID
        self.checks.lease_write(who, lease)
        self.store.delete_keys(self.leases.revoke(lease))
        return self.store.revision, b""

    def _refuse_write(self, *, grows: bool = False) -> None:
        """What the alarms forbid: anything when corrupt, what takes room when there is none."""
        if self.alarms.corrupt:
            raise Corrupt
        if grows and self.alarms.no_space:
            raise NoSpace
