"""endpoint health, status, hashkv.

Source: etcd etcdctl/ctlv3/command/ep_command.go, printer.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import trio

from trioetcd.cli.pflag import Flag
from trioetcd.cli.shown import Table, show_size
from trioetcd.config.values import show_duration
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.errors import CommandFailed, Exit
from trioetcd.ctl.members import ask_each, chosen_endpoints, reason_of, status_of
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import Bare, header, lines
from trioetcd.ctl.output.go_json import go_json
from trioetcd.ctl.session import Session
from wire.errors import EtcdError, PermissionDenied
from wire.pb import etcdserverpb

HEALTH_KEY = b"health"
_ALARMS = ("NONE", "NOSPACE", "CORRUPT")
# What etcdctl 3.5 knows of a status; a newer server says more, which is left out of JSON.
_NEWER = ("storageVersion", "dbSizeQuota", "downgradeInfo")


@dataclass(frozen=True)
class Health:
    endpoint: str
    took: str
    error: str = ""  # empty: it is healthy


async def health(said: Invocation) -> None:
    endpoints = await chosen_endpoints(said)
    found: list[Health] = []

    async def ask(endpoint: str) -> None:
        found.append(await health_of(said.session, endpoint))

    async with trio.open_nursery() as nursery:
        for endpoint in endpoints:
            nursery.start_soon(ask, endpoint)
    _show_health(said.session, found)
    if any(one.error for one in found):
        raise CommandFailed("unhealthy cluster")


async def health_of(session: Session, endpoint: str) -> Health:
    """Healthy is who commits, and raises no alarm."""
    began = trio.current_time()

    def done(error: str = "") -> Health:
        return Health(endpoint, show_duration(round(trio.current_time() - began, 9)), error)

    try:
        await session.call_at(
            endpoint,
            "/etcdserverpb.KV/Range",
            etcdserverpb.RangeRequest(key=HEALTH_KEY),
            etcdserverpb.RangeResponse,
        )
        alarms = await session.call_at(
            endpoint,
            "/etcdserverpb.Maintenance/Alarm",
            etcdserverpb.AlarmRequest(action=etcdserverpb.AlarmRequest.GET),
            etcdserverpb.AlarmResponse,
        )
    except PermissionDenied:  # a refusal is also agreed upon
        return done()
    except (EtcdError, CommandFailed) as error:
        return done(reason_of(error))
    raised = "".join(f"{_ALARMS[alarm.alarm]} " for alarm in alarms.alarms)
    return done(f"Active Alarm(s): {raised}" if raised else "")


def _show_health(session: Session, found: Sequence[Health]) -> None:
    if session.style.format == "simple":
        for one in found:
            if one.error:
                session.console.complain(
                    f"{one.endpoint} is unhealthy: failed to commit proposal: {one.error}"
                )
    session.show(
        Answer(
            None,
            "".join(
                f"{one.endpoint} is healthy: successfully committed proposal: took = {one.took}\n"
                for one in found
                if not one.error
            ),
            fields=lambda: "".join(map(_health_fields, found)),
            json=lambda: [_health_json(one) for one in found],
            table=Table(
                ("endpoint", "health", "took", "error"),
                [(o.endpoint, "false" if o.error else "true", o.took, o.error) for o in found],
            ),
            is_message=False,
        )
    )


def _health_fields(one: Health) -> str:
    rows = [
        ("Endpoint", one.endpoint),
        ("Health", not one.error),
        ("Took", Bare(one.took)),
        ("Error", Bare(one.error)),
    ]
    return lines(rows) + "\n"


def _health_json(one: Health) -> dict[str, Any]:
    shown = {"endpoint": one.endpoint, "health": not one.error, "took": one.took}
    return {**shown, "error": one.error} if one.error else shown


# status


_STATUS_COLUMNS = (
    *("endpoint", "ID", "version", "db size", "is leader", "is learner", "raft term"),
    *("raft index", "raft applied index", "errors"),
)


async def status(said: Invocation) -> None:
    found, failure = await ask_each(
        said, "status", lambda endpoint: status_of(said.session, endpoint)
    )
    said.session.show(
        _listed(
            Table(_STATUS_COLUMNS, [_status_row(*one) for one in found]),
            [_status_fields(*one) for one in found],
            [{"Endpoint": endpoint, "Status": _status_json(one)} for endpoint, one in found],
        )
    )
    if failure:
        raise CommandFailed("", Exit.ERROR)


def _listed(table: Table, fields: Sequence[str], shown: Sequence[Any]) -> Answer:
    """A line, some fields and an object for each endpoint."""
    return Answer(
        None,
        "".join(", ".join(row) + "\n" for row in table.rows),
        fields=lambda: "".join(fields),
        json=lambda: shown,
        table=table,
        is_message=False,
    )


def _status_json(status: etcdserverpb.StatusResponse) -> dict[str, Any]:
    return {name: value for name, value in go_json(status).items() if name not in _NEWER}


def _status_row(endpoint: str, status: etcdserverpb.StatusResponse) -> tuple[str, ...]:
    return (
        endpoint,
        f"{status.header.member_id:x}",
        status.version,
        show_size(status.dbSize),
        "true" if status.leader == status.header.member_id else "false",
        "true" if status.isLearner else "false",
        str(status.raftTerm),
        str(status.raftIndex),
        str(status.raftAppliedIndex),
        ", ".join(status.errors),
    )


def _status_fields(endpoint: str, status: etcdserverpb.StatusResponse) -> str:
    rows = [
        *header(status),
        ("Version", status.version),
        ("DBSize", status.dbSize),
        ("Leader", status.leader),
        ("IsLearner", status.isLearner),
        ("RaftIndex", status.raftIndex),
        ("RaftTerm", status.raftTerm),
        ("RaftAppliedIndex", status.raftAppliedIndex),
        ("Errors", Bare(f"[{' '.join(status.errors)}]")),
        ("Endpoint", endpoint),
    ]
    return lines(rows) + "\n"


# hashkv


async def hash_kv(said: Invocation) -> None:
    request = etcdserverpb.HashKVRequest(revision=said.parsed.number("rev"))

    async def ask(endpoint: str) -> etcdserverpb.HashKVResponse:
        return await said.session.call_at(
            endpoint, "/etcdserverpb.Maintenance/HashKV", request, etcdserverpb.HashKVResponse
        )

    found, failure = await ask_each(said, "hash", ask)
    said.session.show(
        _listed(
            Table(("endpoint", "hash"), [(endpoint, str(one.hash)) for endpoint, one in found]),
            [_hash_fields(*one) for one in found],
            [{"Endpoint": endpoint, "HashKV": _without_revision(one)} for endpoint, one in found],
        )
    )
    if failure:
        raise CommandFailed(failure)


def _without_revision(answer: etcdserverpb.HashKVResponse) -> dict[str, Any]:
    return {name: value for name, value in go_json(answer).items() if name != "hash_revision"}


def _hash_fields(endpoint: str, answer: etcdserverpb.HashKVResponse) -> str:
    rows = [*header(answer), ("Endpoint", endpoint), ("Hash", answer.hash)]
    return lines(rows) + "\n"


_CLUSTER = {"cluster": Flag(False, "use all endpoints from the cluster member list")}
COMMANDS = [
    Command(("endpoint",), "Endpoint related commands", inherited=_CLUSTER),
    Command(
        ("endpoint", "hashkv"),
        "Prints the KV history hash for each endpoint in --endpoints",
        hash_kv,
        flags={"rev": Flag(0, "maximum revision to hash (default: all revisions)", kind="int")},
        inherited=_CLUSTER,
    ),
    Command(
        ("endpoint", "health"),
        "Checks the healthiness of endpoints specified in `--endpoints` flag",
        health,
        inherited=_CLUSTER,
    ),
    Command(
        ("endpoint", "status"),
        "Prints out the status of endpoints specified in `--endpoints` flag",
        status,
        long="An endpoint's line has its ID, version, database size, whether it leads, whether it\n"
        "is a learner, raft's term, index and applied index, and errors.",
        inherited=_CLUSTER,
    ),
]
