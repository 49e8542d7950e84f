"""alarm, defrag, move-leader, downgrade.

Source: etcd etcdctl/ctlv3/command/{alarm,defrag,move_leader,downgrade}_command.go.
"""

from __future__ import annotations

from trioetcd.cli.pflag import Flag
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.errors import CommandFailed, Exit, Misused
from trioetcd.ctl.members import chosen_endpoints, reason_of, status_of
from trioetcd.ctl.numbers import BadNumber, parse_unsigned_hex
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import Bare, header, lines
from wire.errors import EtcdError
from wire.pb import etcdserverpb

_MAINTENANCE = "/etcdserverpb.Maintenance"
_Alarm = etcdserverpb.AlarmRequest
_ALARMS = ("NONE", "NOSPACE", "CORRUPT")
_DOWNGRADE = etcdserverpb.DowngradeRequest


# alarm


async def list_alarms(said: Invocation) -> None:
    said.no_arguments("alarm list command accepts no arguments")
    _show_alarms(said, await _alarm(said, _Alarm(action=_Alarm.GET)))


async def disarm(said: Invocation) -> None:
    """All there are, one after the other."""
    said.no_arguments("alarm disarm command accepts no arguments")
    done = etcdserverpb.AlarmResponse()
    for alarm in (await _alarm(said, _Alarm(action=_Alarm.GET))).alarms:
        request = _Alarm(action=_Alarm.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm)
        done.alarms.extend((await _alarm(said, request)).alarms)
    _show_alarms(said, done)


async def _alarm(
    said: Invocation, request: etcdserverpb.AlarmRequest
) -> etcdserverpb.AlarmResponse:
    return await said.session.call(f"{_MAINTENANCE}/Alarm", request, etcdserverpb.AlarmResponse)


def _show_alarms(said: Invocation, answer: etcdserverpb.AlarmResponse) -> None:
    said.session.show(
        Answer(
            answer,
            "".join(
                f"memberID:{alarm.memberID} alarm:{_ALARMS[alarm.alarm]} \n"
                for alarm in answer.alarms
            ),
            fields=lambda: (
                lines(header(answer))
                + "".join(
                    lines([("MemberID", alarm.memberID), ("AlarmType", Bare(_ALARMS[alarm.alarm]))])
                    + "\n"
                    for alarm in answer.alarms
                )
            ),
        )
    )


# defrag


async def defrag(said: Invocation) -> None:
    """Of a data directory, or of members that run."""
    has_failed = False
    console = said.session.console
    if directory := said.parsed.text("data-dir"):
        console.complain("Use `trioetcd util defrag` instead.\n")
        _defragment_directory(directory)
        return
    for endpoint in await chosen_endpoints(said):
        try:
            await said.session.call_at(
                endpoint,
                f"{_MAINTENANCE}/Defragment",
                etcdserverpb.DefragmentRequest(),
                etcdserverpb.DefragmentResponse,
            )
            console.print(f"Finished defragmenting etcd member[{endpoint}]\n")
        except (EtcdError, CommandFailed) as error:
            has_failed = True
            console.complain(f"Failed to defragment etcd member[{endpoint}] ({reason_of(error)})")
    if has_failed:
        raise CommandFailed("", Exit.ERROR)


def _defragment_directory(directory: str) -> None:
    """Raises CommandFailed."""
    from actors.wal.disk import RealDisk  # what is needed of a server
    from trioetcd.util.command import Failed
    from trioetcd.util.data_dir import opened

    try:
        with opened(RealDisk(), directory) as found:
            found.engine.defragment()
            found.engine.swap()
    except (Failed, OSError) as error:
        text = f"Failed to defragment etcd data[{directory}] ({error})"
        raise CommandFailed(text) from error


# move-leader


async def move_leader(said: Invocation) -> None:
    try:
        target = parse_unsigned_hex(said.only_argument("move-leader command needs 1 argument"))
    except BadNumber as error:
        raise Misused(str(error)) from error
    session = said.session
    for endpoint in session.endpoints:
        status = await status_of(session, endpoint)
        if status.leader == status.header.member_id:
            break
    else:
        raise Misused(f"no leader endpoint given at [{' '.join(session.endpoints)}]")
    answer = await session.call_at(
        endpoint,
        f"{_MAINTENANCE}/MoveLeader",
        etcdserverpb.MoveLeaderRequest(targetID=target),
        etcdserverpb.MoveLeaderResponse,
    )
    text = f"Leadership transferred from {status.leader:x} to {target:x}\n"
    session.show(Answer(answer, text, has_fields=False))


# downgrade


async def validate(said: Invocation) -> None:
    answer = await _downgrade(said, _DOWNGRADE.VALIDATE, _version(said))
    _show_downgrade(said, "validate", answer)


async def enable(said: Invocation) -> None:
    answer = await _downgrade(said, _DOWNGRADE.ENABLE, _version(said))
    _show_downgrade(said, "enable", answer)


async def cancel(said: Invocation) -> None:
    _show_downgrade(said, "cancel", await _downgrade(said, _DOWNGRADE.CANCEL, ""))


def _version(said: Invocation) -> str:
    if not said.arguments:
        raise Misused("TARGET_VERSION not provided")
    if len(said.arguments) > 1:
        raise Misused("too many arguments")
    if not said.arguments[0]:
        raise Misused("target version not provided")
    return said.arguments[0]


async def _downgrade(
    said: Invocation, action: etcdserverpb.DowngradeRequest.DowngradeAction.ValueType, version: str
) -> etcdserverpb.DowngradeResponse:
    return await said.session.call(
        f"{_MAINTENANCE}/Downgrade",
        etcdserverpb.DowngradeRequest(action=action, version=version),
        etcdserverpb.DowngradeResponse,
    )


def _show_downgrade(said: Invocation, what: str, answer: etcdserverpb.DowngradeResponse) -> None:
    text = f"Downgrade {what} success, cluster version {answer.version}\n"
    said.session.show(Answer(answer, text, has_fields=False))


COMMANDS = [
    Command(("alarm",), "Alarm related commands"),
    Command(("alarm", "disarm"), "Disarms all alarms", disarm),
    Command(("alarm", "list"), "Lists all alarms", list_alarms),
    Command(
        ("defrag",),
        "Defragments the storage of the etcd members with given endpoints",
        defrag,
        flags={
            "cluster": Flag(False, "use all endpoints from the cluster member list"),
            "data-dir": Flag(
                "", "Optional. If present, defragments a data directory not in use by etcd."
            ),
        },
    ),
    Command(
        ("move-leader",),
        "Transfers leadership to another etcd cluster member.",
        move_leader,
        "<transferee-member-id>",
    ),
    Command(("downgrade",), "Downgrade related commands"),
    Command(("downgrade", "cancel"), "Cancel the ongoing downgrade action to cluster", cancel),
    Command(
        ("downgrade", "enable"),
        "Start a downgrade action to cluster",
        enable,
        "<TARGET_VERSION>",
    ),
    Command(
        ("downgrade", "validate"),
        "Validate downgrade capability before starting downgrade",
        validate,
        "<TARGET_VERSION>",
    ),
]
