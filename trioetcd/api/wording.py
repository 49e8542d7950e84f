"""Requests in a few words, for logs: keys, never values or passwords.

Source: etcd api/etcdserverpb/raft_internal_stringer.go.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message

from wire.pb import etcdserverpb

MOST_CHARACTERS = 500  # of one request; a transaction may have hundreds of operations
_HIDDEN = {"value", "password", "hashedPassword", "token", "blob"}
_REQUESTS = {
    f"/etcdserverpb.{service}/{method}": getattr(etcdserverpb, name)
    for service, methods in {
        "KV": "Range:Range Put:Put DeleteRange:DeleteRange Txn:Txn Compact:Compaction",
        "Lease": "LeaseGrant:LeaseGrant LeaseRevoke:LeaseRevoke LeaseTimeToLive:LeaseTimeToLive",
        "Cluster": "MemberAdd:MemberAdd MemberRemove:MemberRemove MemberUpdate:MemberUpdate "
        "MemberPromote:MemberPromote",
        "Maintenance": "Alarm:Alarm HashKV:HashKV MoveLeader:MoveLeader Downgrade:Downgrade",
        "Auth": "UserAdd:AuthUserAdd UserGet:AuthUserGet UserDelete:AuthUserDelete "
        "UserChangePassword:AuthUserChangePassword UserGrantRole:AuthUserGrantRole "
        "UserRevokeRole:AuthUserRevokeRole RoleAdd:AuthRoleAdd RoleGet:AuthRoleGet "
        "RoleDelete:AuthRoleDelete RoleGrantPermission:AuthRoleGrantPermission "
        "RoleRevokePermission:AuthRoleRevokePermission Authenticate:Authenticate",
    }.items()
    for method, name in (
        (pair.split(":")[0], pair.split(":")[1] + "Request") for pair in methods.split()
    )
}


def request_of(path: str, payload: bytes) -> Message | None:
    """None for a method whose requests say nothing, or bytes that are no such request."""
    kind = _REQUESTS.get(path)
    if kind is None:
        return None
    try:
        request: Message = kind.FromString(payload)
    except DecodeError:
        return None
    return request


def words(path: str, payload: bytes) -> str:
    request = request_of(path, payload)
    return "" if request is None else message_words(request)


def message_words(message: Message) -> str:
    """`key:"a" value_size:3`, as Go's etcd writes it."""
    text = _words(message)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"


def _words(message: Message) -> str:
    parts: list[str] = []
    for field, value in message.ListFields():
        if field.name in _HIDDEN:
            parts.append(f"{field.name}_size:{len(value)}")
            continue
        single = isinstance(value, Message | bytes | str | int | float)
        for one in (value,) if single else value:
            if isinstance(one, Message):
                parts.append(f"{field.name}:<{_words(one)}>")
            elif isinstance(one, bytes):
                parts.append(f'{field.name}:"{_quoted(one)}"')
            elif isinstance(one, str):
                parts.append(f'{field.name}:"{one}"')
            elif field.enum_type is not None:
                parts.append(f"{field.name}:{field.enum_type.values_by_number[one].name}")
            else:
                parts.append(f"{field.name}:{str(one).lower()}")
    return " ".join(parts)


def _quoted(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").replace('"', r"\"")
