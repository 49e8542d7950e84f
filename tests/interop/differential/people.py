"""Random users, roles and permissions, and calls of random people, on all servers alike.

Apart from the other traffic, since with authentication on every call is somebody's.  Who may
what is compared, and the words in which he is told; all else has been compared before.
"""

from __future__ import annotations

import time
from collections import Counter
from random import Random

from google.protobuf.message import Message

from tests.interop.differential.clients import Answer, Client
from tests.interop.differential.compare import Report
from tests.interop.differential.rules import OURS, REFERENCE
from tests.interop.differential.traffic import Call, show
from wire.pb import authpb
from wire.pb import etcdserverpb as pb

USERS = ("root", "u1", "u2", "u3", "u4")
ROLES = ("r1", "r2", "r3", "root")
KEYS = (b"a", b"ab", b"abc", b"b", b"b\0", b"c", b"d", b"dd", b"\xff")
ENDS = (b"", b"", b"", b"\0", *KEYS)
PERMITTED = (
    *((b"a", b""), (b"ab", b"c"), (b"abc", b"\0"), (b"b", b""), (b"b\0", b"d")),
    *((b"c", b"dd"), (b"d", b""), (b"dd", b"\0")),
)
PASSWORDS = ("one", "two", "")
NOBODY, LIAR = "nobody", "liar"
READ, WRITE, READWRITE = authpb.Permission.READ, authpb.Permission.WRITE, 2
LEASES = (101, 102, 103)
SHUFFLE = 0.04  # of all calls: everybody logs in anew


class People:
    """Invariant: `tokens` of a caller are of one login, one a server; passwords are known."""

    def __init__(self, addresses: dict[str, str], seed: int) -> None:
        self.report = Report(seed)
        self._rng = Random(seed)
        self._clients = {kind: Client(address) for kind, address in addresses.items()}
        self._passwords = {"root": "one"}
        self._tokens: dict[str, dict[str, str]] = {
            NOBODY: dict.fromkeys(addresses, ""),
            LIAR: dict.fromkeys(addresses, "abcdefghijklmnop.1"),
        }
        self.refusals: Counter[str] = Counter()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def run(self, calls: int) -> Report:
        began = time.monotonic()
        self._begin()
        while self.report.calls < calls:
            if self._rng.random() < SHUFFLE:
                self._log_in_all()
            who = self._caller()
            name, request = self._administration() if self._is_admin(who) else self._work(who)
            self.call(who, name, request)
        self.report.by_code = self.refusals
        self.report.seconds = time.monotonic() - began
        return self.report

    def _begin(self) -> None:
        self.call(NOBODY, "Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="one"))
        self.call(
            NOBODY, "Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root")
        )
        for lease in LEASES:
            self.call(NOBODY, "Lease/LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=100_000))
        for key in KEYS:
            put = pb.PutRequest(key=key, lease=self._rng.choice((0, *LEASES)))
            self.call(NOBODY, "KV/Put", put)
        self.call(NOBODY, "Auth/AuthEnable", pb.AuthEnableRequest())
        self._log_in_all()

    # -- Calls

    def call(self, who: str, name: str, request: Message) -> dict[str, Answer]:
        method = f"etcdserverpb.{name}"
        data = request.SerializeToString()
        tokens = self._tokens[who]
        begun = {
            kind: client.begin(method, data, tokens[kind]) for kind, client in self._clients.items()
        }
        answers = {kind: Client.finish(future) for kind, future in begun.items()}
        self.report.calls += 1
        self.report.by_method[method] += 1
        reference = answers[REFERENCE]
        self.refusals[f"{reference.code} {reference.text}"] += 1
        if name != "Auth/Authenticate" and answers[OURS] != reference:
            self.report.mismatch(
                f"{who}: {Call(method, data)} {{ {show(request)} }}",
                {kind: (each.code, each.text, each.body) for kind, each in answers.items()},
            )
        return answers

    def _log_in_all(self) -> None:
        for name in self._passwords:
            self._log_in(name, self._passwords[name])
        name = self._rng.choice(USERS)
        self._log_in(name, self._rng.choice((*PASSWORDS, "wrong")))

    def _log_in(self, name: str, password: str) -> None:
        request = pb.AuthenticateRequest(name=name, password=password)
        answers = self.call(NOBODY, "Auth/Authenticate", request)
        if len({(each.code, each.text) for each in answers.values()}) > 1:
            self.report.mismatch(f"{name} logs in", dict(answers))
        if answers[REFERENCE].code == "OK" and answers[OURS].code == "OK":
            self._tokens[name] = {
                kind: pb.AuthenticateResponse.FromString(each.body).token
                for kind, each in answers.items()
            }

    def _caller(self) -> str:
        known = [name for name in self._tokens if name not in (NOBODY, LIAR)]
        kind = self._rng.random()
        if kind < 0.03:
            return NOBODY
        if kind < 0.06:
            return LIAR
        return "root" if kind < 0.35 else self._rng.choice(known)

    def _is_admin(self, who: str) -> bool:
        return self._rng.random() < (0.7 if who == "root" else 0.1)

    # -- What is asked

    def _administration(self) -> tuple[str, Message]:
        """The state that the calls change may only be root's to change, and is so on all."""
        rng = self._rng
        user, role = rng.choice(USERS), rng.choice(ROLES)
        key, end = self._permitted()
        made: list[tuple[str, Message]] = [
            ("UserAdd", self._new_user()),
            ("UserGet", pb.AuthUserGetRequest(name=user)),
            ("UserList", pb.AuthUserListRequest()),
            ("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role)),
            ("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role)),
            ("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name=user, role=role)),
            ("RoleAdd", pb.AuthRoleAddRequest(name=rng.choice((*ROLES[:3], "")))),
            ("RoleGet", pb.AuthRoleGetRequest(role=rng.choice(ROLES[:3]))),
            ("RoleList", pb.AuthRoleListRequest()),
            (
                "RoleRevokePermission",
                pb.AuthRoleRevokePermissionRequest(role=role, key=key, range_end=end),
            ),
            *[("RoleGrantPermission", self._new_permission(role)) for _ in range(4)],
        ]
        if rng.random() < 0.1:
            made = [
                ("UserDelete", pb.AuthUserDeleteRequest(name=user)),
                ("RoleDelete", pb.AuthRoleDeleteRequest(role=role)),
                ("AuthEnable", pb.AuthEnableRequest()),
            ]
        name, request = rng.choice(made)
        return f"Auth/{name}", request

    def _new_user(self) -> pb.AuthUserAddRequest:
        name = self._rng.choice((*USERS, ""))
        request = pb.AuthUserAddRequest(name=name, password=PASSWORDS[0])
        self._passwords.setdefault(name, PASSWORDS[0])
        return request

    def _new_permission(self, role: str) -> pb.AuthRoleGrantPermissionRequest:
        key, end = self._permitted()
        kind = self._rng.choice((READ, WRITE, READWRITE))
        permission = authpb.Permission(permType=kind, key=key, range_end=end)
        return pb.AuthRoleGrantPermissionRequest(name=role, perm=permission)

    def _permitted(self) -> tuple[bytes, bytes]:
        """One range of each key: Go's sort keeps no order of several."""
        return self._rng.choice(PERMITTED)

    def _span(self) -> tuple[bytes, bytes]:
        """A key and an end behind it.

        Whether a range that ends before it starts is permitted hangs, with Go's etcd, on how its
        tree of permissions has grown.
        """
        key, end = self._rng.choice(KEYS), self._rng.choice(ENDS)
        if end in (b"", b"\0") or key < end:
            return key, end
        return (end, key) if end < key else (key, b"")

    def _work(self, who: str) -> tuple[str, Message]:
        rng = self._rng
        kind = rng.randrange(20)
        if kind < 6:
            return "KV/Range", self._range()
        if kind < 11:
            return "KV/Put", self._put()
        if kind < 14:
            return "KV/DeleteRange", self._delete()
        if kind < 19:
            return "KV/Txn", self._txn()
        if who in (NOBODY, LIAR):  # whom 3.5.1 tells that a lease is not there
            return "KV/Put", self._put()
        return "Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=rng.choice((*LEASES, 7)))

    def _range(self) -> pb.RangeRequest:
        key, end = self._span()
        return pb.RangeRequest(key=key, range_end=end, serializable=self._rng.random() < 0.3)

    def _put(self) -> pb.PutRequest:
        rng = self._rng
        request = pb.PutRequest(key=rng.choice(KEYS), prev_kv=rng.random() < 0.3)
        if rng.random() < 0.3:
            request.lease = rng.choice(LEASES)
        return request

    def _delete(self) -> pb.DeleteRangeRequest:
        key, end = self._span()
        return pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=self._rng.random() < 0.3)

    def _txn(self) -> pb.TxnRequest:
        """None nested in it, and no lease or previous value: 3.5.1 does not look at those."""
        rng = self._rng
        request = pb.TxnRequest()
        for _ in range(rng.randrange(2)):
            key, end = self._span()
            request.compare.add(key=key, range_end=end, target=pb.Compare.VERSION)
        for branch in (request.success, request.failure):
            for _ in range(rng.randrange(3)):
                operation = branch.add()
                kind = rng.randrange(3)
                if kind == 0:
                    operation.request_range.CopyFrom(self._range())
                elif kind == 1:
                    operation.request_put.key = rng.choice(KEYS)
                else:
                    operation.request_delete_range.CopyFrom(self._delete())
        return request
