"""certs init, node, client, renew, show, check: certificates of a CA of one's own."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

from trioetcd.cli.pflag import Flag
from trioetcd.cli.shown import Table
from trioetcd.util.certificates import (
    Pair,
    Shown,
    Unusable,
    authority,
    inspect,
    is_issued_by,
    issue,
    new_key,
    renewed,
)
from trioetcd.util.command import BAD_FEATURE, Command, Failed, Invocation
from wire.network import reason

CA = "ca"
CA_DAYS, DAYS = 3650, 365
WARN_DAYS = 30
_DIR = {"dir": Flag("certs", "The directory of the certificates")}
_DAYS = {"days": Flag(DAYS, "How long it is valid, from now")}
_ALGORITHM = {"key": Flag("ecdsa", "The kind of key: ecdsa (P-256) or rsa (3072 bits)")}
_FORCE = {"force": Flag(False, "Overwrite what is there")}


def init(said: Invocation) -> None:
    said.no_arguments("certs init takes no arguments")
    name, days = said.parsed.text("name"), said.parsed.number("days")
    pair = authority(name, _algorithm(said), days, _now())
    _write(said, CA, pair, overwrite=said.parsed.is_on("force"))


def node(said: Invocation) -> None:
    """Its own hosts are what clients and other members reach it by."""
    name = said.only_argument("certs node requires the member's name")
    hosts = said.parsed.values["hosts"]
    assert isinstance(hosts, tuple)
    if not hosts:
        raise Failed("a member needs --hosts: the names and addresses it is reached by")
    _issue(said, name, hosts, server=True)


def client(said: Invocation) -> None:
    _issue(said, said.only_argument("certs client requires the user's name"), (), server=False)


def _issue(said: Invocation, name: str, hosts: tuple[str, ...], *, server: bool) -> None:
    if name == CA or "/" in name or not name:
        raise Failed(f"{name!r} cannot be the name of a file beside the CA's")
    key = new_key(_algorithm(said))
    days = said.parsed.number("days")
    try:
        pair = issue(_read(said, CA), name, hosts, server=server, key=key, days=days, now=_now())
    except (Unusable, ValueError) as error:
        raise Failed(str(error)) from error
    _write(said, name, pair, overwrite=said.parsed.is_on("force"))


def renew(said: Invocation) -> None:
    name = said.only_argument("certs renew requires the name of a certificate")
    again, days = said.parsed.is_on("rekey"), said.parsed.number("days")
    try:
        old, ca = _read(said, name), _read(said, CA)
        pair = renewed(ca, old, new_key_too=again, days=days, now=_now())
    except Unusable as error:
        raise Failed(f"{name}: {error}") from error
    _write(said, name, pair, overwrite=True)


def show(said: Invocation) -> None:
    rows = _all(said)
    now = _now()
    match said.style:
        case "json":
            said.print(json.dumps([_json(name, shown, now) for name, shown in rows], indent=1))
            said.print("\n")
        case "simple" | "table":
            columns = ("name", "subject", "issuer", "use", "hosts", "ends", "days left")
            table = Table(columns, [_row(name, shown, now) for name, shown in rows])
            said.print(table.draw())
        case style:
            raise Failed(f"{style} not supported as output format", BAD_FEATURE)


def check(said: Invocation) -> None:
    """Says what is wrong; the exit status is 1 if anything is."""
    days, now = said.parsed.number("days"), _now()
    ca = _read_file(said, f"{CA}.pem")
    wrong = []
    for name, shown in _all(said):
        left = shown.days_left(now)
        if left < days:
            words = f"has ended {-left} days ago" if left < 0 else f"ends in {left} days"
            mend = "make a new CA" if shown.is_ca else f"trioetcd util certs renew {name}"
            wrong.append(f"{name} {words}: {mend}")
        if not is_issued_by(_read_file(said, f"{name}.pem"), ca):
            wrong.append(f"{name} is not of this CA")
    if wrong:
        raise Failed("\n       ".join(wrong))
    said.print(f"all are good for {days} days or more\n")


def _all(said: Invocation) -> list[tuple[str, Shown]]:
    """By name, the CA first.  Raises Failed."""
    directory = said.parsed.text("dir")
    try:
        files = sorted(os.listdir(directory))
    except OSError as error:
        raise Failed(f"open {directory}: {reason(error)}") from error
    names = [
        name.removesuffix(".pem")
        for name in files
        if name.endswith(".pem") and not name.endswith("-key.pem")
    ]
    found = []
    for name in sorted(names, key=lambda one: (one != CA, one)):
        try:
            found.append((name, inspect(_read_file(said, f"{name}.pem"))))
        except Unusable as error:
            raise Failed(f"{directory}/{name}.pem: {error}") from error
    return found


def _row(name: str, shown: Shown, now: datetime.datetime) -> tuple[str, ...]:
    use = "CA" if shown.is_ca else ", ".join(shown.usages)
    ends = shown.ends.strftime("%Y-%m-%d %H:%M")
    hosts = ", ".join(shown.hosts)
    return (name, shown.subject, shown.issuer, use, hosts, ends, str(shown.days_left(now)))


def _json(name: str, shown: Shown, now: datetime.datetime) -> dict[str, object]:
    return {
        "name": name,
        "subject": shown.subject,
        "issuer": shown.issuer,
        "ca": shown.is_ca,
        "usages": shown.usages,
        "hosts": shown.hosts,
        "begins": shown.begins.isoformat(),
        "ends": shown.ends.isoformat(),
        "daysLeft": shown.days_left(now),
        "serial": f"{shown.serial:x}",
    }


# -- Files


def _algorithm(said: Invocation) -> str:
    chosen = said.parsed.text("key")
    if chosen not in ("ecdsa", "rsa"):
        raise Failed(f"--key is ecdsa or rsa, not {chosen!r}")
    return chosen


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _read(said: Invocation, name: str) -> Pair:
    return Pair(_read_file(said, f"{name}.pem"), _read_file(said, f"{name}-key.pem"))


def _read_file(said: Invocation, name: str) -> bytes:
    path = Path(said.parsed.text("dir"), name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failed(f"open {path}: {reason(error)}") from error


def _write(said: Invocation, name: str, pair: Pair, *, overwrite: bool) -> None:
    """Each file is whole or not there; keys are for their owner alone."""
    directory = Path(said.parsed.text("dir"))
    files = ((f"{name}-key.pem", pair.key, 0o600), (f"{name}.pem", pair.certificate, 0o644))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, data, mode in files:
            path, part = directory / file, directory / f".{file}.part"
            if path.exists() and not overwrite:
                raise Failed(f"{path} is there already (--force overwrites it)")
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                out.write(data)
            os.replace(part, path)
    except OSError as error:
        raise Failed(f"open {error.filename or directory}: {reason(error)}") from error
    said.print(f"{directory / f'{name}.pem'} and {directory / f'{name}-key.pem'} are written\n")


COMMANDS = [
    Command(
        ("certs", "init"),
        "Makes a CA",
        init,
        "",
        {
            **_DIR,
            **_ALGORITHM,
            **_FORCE,
            "name": Flag("trioetcd CA", "Its common name"),
            "days": Flag(CA_DAYS, "How long it is valid, from now"),
        },
    ),
    Command(
        ("certs", "node"),
        "Makes a member's certificate, for clients and other members",
        node,
        "<name> --hosts {names and addresses}",
        {
            **_DIR,
            **_ALGORITHM,
            **_DAYS,
            **_FORCE,
            "hosts": Flag((), "Names and addresses that it is reached by"),
        },
    ),
    Command(
        ("certs", "client"),
        "Makes a client's certificate; its name is the user",
        client,
        "<user>",
        {**_DIR, **_ALGORITHM, **_DAYS, **_FORCE},
    ),
    Command(
        ("certs", "renew"),
        "Makes a certificate good again, with the same name and hosts",
        renew,
        "<name>",
        {**_DIR, **_DAYS, "rekey": Flag(False, "With a new key")},
    ),
    Command(("certs", "show"), "Shows the certificates of a directory", show, "", _DIR),
    Command(
        ("certs", "check"),
        "Says which certificates end soon, or are of another CA",
        check,
        "",
        {**_DIR, "days": Flag(WARN_DAYS, "What is soon")},
    ),
]
