"""make-mirror: keep another cluster's keys like this one's.

Source: etcd etcdctl/ctlv3/command/make_mirror_command.go.
"""

from __future__ import annotations

import trio

from trioetcd.beside import beside
from trioetcd.cli.pflag import Flag, Parsed
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import encoded
from trioetcd.ctl.errors import Misused
from trioetcd.ctl.mirror import Mirror, Plan
from trioetcd.ctl.session import Access, secured_access, user_of

TOLD_SECONDS = 30.0  # between two totals; etcdctl's value


async def make_mirror(said: Invocation) -> None:
    """Until either cluster refuses something."""
    destination = said.only_argument("make-mirror takes one destination argument")
    plan = plan_of(said.parsed)
    source = await said.session.client()
    copy = await said.session.client_at(_access(said), destination)
    mirror = Mirror(source, copy, plan)

    async def tell() -> None:
        while True:
            await trio.sleep(TOLD_SECONDS)
            said.session.console.print(f"{mirror.total}\n")

    async with beside(tell):
        await mirror.run()


def plan_of(parsed: Parsed) -> Plan:
    """Raises CommandFailed."""
    prefix, destination = encoded(parsed.text("prefix")), encoded(parsed.text("dest-prefix"))
    if parsed.is_on("no-dest-prefix") and destination:
        raise Misused(
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one"
        )
    if not destination and not parsed.is_on("no-dest-prefix"):
        destination = prefix
    return Plan(prefix, destination, parsed.number("rev"), parsed.number("max-txn-ops"))


def _access(said: Invocation) -> Access:
    """The destination's; how connections are kept alive is the same for both."""
    parsed = said.parsed
    user, password = user_of(
        parsed.text("dest-user"),
        parsed.text("dest-password"),
        lambda _: said.session.console.ask("Destination Password: "),
    )
    return secured_access(parsed, "dest-", user=user, password=password)


COMMANDS = [
    Command(
        ("make-mirror",),
        "Makes a mirror at the destination etcd cluster",
        make_mirror,
        "[options] <destination>",
        "Ends only when one of the clusters refuses something, such as changes that were\n"
        "compacted before they were mirrored.  Says every 30 seconds how many keys it has written.",
        {
            "prefix": Flag("", "Key-value prefix to mirror"),
            "rev": Flag(0, "Specify the kv revision to start to mirror", kind="int"),
            "max-txn-ops": Flag(
                128,
                "Maximum number of operations permitted in a transaction during syncing updates.",
            ),
            "dest-prefix": Flag(
                "",
                "destination prefix to mirror a prefix to a different prefix in the destination "
                "cluster",
            ),
            "no-dest-prefix": Flag(
                False, "mirror key-values to the root of the destination cluster"
            ),
            "dest-cert": Flag(
                "",
                "Identify secure client using this TLS certificate file for the destination "
                "cluster",
            ),
            "dest-key": Flag("", "Identify secure client using this TLS key file"),
            "dest-cacert": Flag(
                "", "Verify certificates of TLS enabled secure servers using this CA bundle"
            ),
            "dest-insecure-transport": Flag(
                True, "Disable transport security for client connections"
            ),
            "dest-user": Flag(
                "",
                "Destination username[:password] for authentication (prompt if password is not "
                "supplied)",
            ),
            "dest-password": Flag(
                "",
                "Destination password for authentication (if this option is used, --user option "
                "shouldn't include password)",
            ),
        },
    )
]
