"""doctor: what is wrong with a cluster, and which command mends it."""

from __future__ import annotations

import datetime

from actors.wal.disk import RealDisk
from trioetcd.ctl.colours import Colours
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.diagnosis import Certificate, Finding, Severity, diagnose
from trioetcd.ctl.errors import CommandFailed
from trioetcd.ctl.facts import ClusterFacts, gather
from trioetcd.ctl.members import reason_of
from trioetcd.ctl.output.answer import Answer
from wire.errors import EtcdError
from wire.pb import etcdserverpb

_COLOUR = {Severity.CRITICAL: "red", Severity.WARNING: "yellow", Severity.ADVICE: "cyan"}


async def doctor(said: Invocation) -> None:
    """The exit status is 2 if something is critical, 1 at a warning, else 0."""
    said.no_arguments("doctor takes no arguments")
    session = said.session
    facts = await gather(session, hashes=True)
    facts.auth_enabled = await _auth_enabled(said)
    found = diagnose(facts, _certificates(said, facts), datetime.datetime.now(datetime.UTC))
    colours = Colours(session.console)
    session.show(
        Answer(
            None,
            _in_words(facts, found, colours),
            has_fields=False,
            json=lambda: [_json(finding) for finding in found],
            is_message=False,
        )
    )
    worst = max((finding.severity for finding in found), default=Severity.ADVICE)
    if worst > Severity.ADVICE:
        raise CommandFailed("", int(worst))


async def _auth_enabled(said: Invocation) -> bool | None:
    try:
        answer = await said.session.call(
            "/etcdserverpb.Auth/AuthStatus",
            etcdserverpb.AuthStatusRequest(),
            etcdserverpb.AuthStatusResponse,
        )
    except EtcdError as error:
        return True if "user name is empty" in reason_of(error) else None
    except CommandFailed:
        return None
    return answer.enabled


def _certificates(said: Invocation, facts: ClusterFacts) -> list[Certificate]:
    """The servers' and our own."""
    if not said.session.access.tls.client_cert_file and not any(
        one.certificate for one in facts.members
    ):
        return []
    from cryptography import x509  # only who uses TLS waits for it

    found = [
        Certificate(
            one.name or one.endpoint,
            x509.load_der_x509_certificate(one.certificate).not_valid_after_utc,
        )
        for one in facts.members
        if one.certificate is not None
    ]
    own = said.session.access.tls.client_cert_file
    if own:
        file = RealDisk().open(own)
        try:
            pem = file.read(0, file.size)
        finally:
            file.close()
        ends = x509.load_pem_x509_certificate(pem).not_valid_after_utc
        found.append(Certificate("this client", ends))
    return found


def _in_words(facts: ClusterFacts, found: list[Finding], colours: Colours) -> str:
    answering = sum(one.status is not None for one in facts.members)
    lines = [f"{answering} of {len(facts.members)} members answer\n"]
    for finding in found:
        word = colours.paint(finding.severity.name.lower(), _COLOUR[finding.severity])
        lines.append(f"{word}: {finding.what} ({finding.evidence})\n")
        lines += [f"    {step}\n" for step in finding.mend]
    if not found:
        lines.append(colours.paint("nothing is wrong", "green") + "\n")
    return "".join(lines)


def _json(finding: Finding) -> dict[str, object]:
    return {
        "severity": finding.severity.name.lower(),
        "what": finding.what,
        "evidence": finding.evidence,
        "mend": list(finding.mend),
    }


COMMANDS = [
    Command(
        ("doctor",),
        "Says what is wrong with the cluster, and which command mends it",
        doctor,
    )
]
