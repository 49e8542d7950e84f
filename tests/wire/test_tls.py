"""Who gets through TLS and who does not, and what is said about it."""

from __future__ import annotations

import datetime
import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.wire.certificates import DAY, Authority, Pair
from tests.wire.ports import LinesLog, echo_port, read_exactly
from wire.log import NullLog
from wire.tls import ClientTLS, Identity, ServerTLS, TLSError, TLSSettings, TLSStream
from wire.tls_self_signed import self_signed
from wire.tls_suites import SUITES

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def settings(authority: Authority) -> TLSSettings:
    """Of a server that wants client certificates."""
    server = authority.issue("server")
    return TLSSettings(
        cert_file=server.cert_file,
        key_file=server.key_file,
        trusted_ca_file=authority.ca_file,
        client_cert_auth=True,
    )


def client_settings(authority: Authority, pair: Pair | None) -> TLSSettings:
    return TLSSettings(
        cert_file=pair.cert_file if pair else "",
        key_file=pair.key_file if pair else "",
        trusted_ca_file=authority.ca_file,
    )


def context_of(authority: Authority, pair: Pair | None) -> ssl.SSLContext:
    return ClientTLS(client_settings(authority, pair), NullLog()).context()


async def talk(
    server: ServerTLS, client: ssl.SSLContext, log: LinesLog | None = None, host: str = "127.0.0.1"
) -> TLSStream:
    """Connect, get an echo through, hang up; the closed stream remembers what was agreed.

    Raises:
        trio.BrokenResourceError: one side did not like the other.
    """
    async with echo_port(server, log) as echo:
        stream = TLSStream(await echo.connect(), client, server_hostname=host)
        async with stream:
            await stream.send_all(b"hello")
            assert await read_exactly(stream, 2) in (b"1:", b"2:")
            assert await read_exactly(stream, 5) == b"hello"
            return stream


async def refusal(
    server: ServerTLS, client: ssl.SSLContext, host: str = "127.0.0.1"
) -> tuple[str, str]:
    """What the server logs, and what the client hears, when there is no getting through."""
    log = LinesLog()
    async with echo_port(server, log) as echo:
        stream = TLSStream(await echo.connect(), client, server_hostname=host)
        with pytest.raises(trio.BrokenResourceError) as heard:
            await greet(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert echo.peers == []
    [said] = log.errors_of("rejected connection")
    cause = heard.value.__cause__
    return str(said), (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""


async def greet(stream: TLSStream) -> None:
    """With TLS 1.3 a client is done before it has been looked at, and hears later."""
    await stream.do_handshake()
    if not await stream.receive_some(1):  # Python 3.11.2 takes the broken end for an orderly one
        raise trio.BrokenResourceError("closed without a greeting")


# -- Certificates of clients


async def test_a_client_with_a_certificate_of_the_ca_comes_in_by_its_name(
    authority: Authority, settings: TLSSettings
):
    client = context_of(authority, authority.issue("client", common_name="alice"))
    async with echo_port(ServerTLS(settings, NullLog())) as echo:
        stream = TLSStream(await echo.connect(), client, server_hostname="127.0.0.1")
        async with stream:
            await read_exactly(stream, 2)
        [peer] = echo.peers
    assert peer.common_name == "alice"
    assert peer.secure
    assert peer.address == "memory"


@pytest.mark.parametrize("version", ["TLS1.2", "TLS1.3"])
async def test_a_client_without_a_certificate_is_told_that_one_is_needed(
    authority: Authority, settings: TLSSettings, version: str
):
    server = ServerTLS(replace(settings, max_version=version), NullLog())
    said, heard = await refusal(server, context_of(authority, None))
    assert said == "tls: client didn't provide a certificate"
    assert heard in ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE")


async def test_a_trusted_ca_alone_makes_certificates_required(
    authority: Authority, settings: TLSSettings
):
    server = ServerTLS(replace(settings, client_cert_auth=False), NullLog())
    said, _ = await refusal(server, context_of(authority, None))
    assert said == "tls: client didn't provide a certificate"


async def test_without_ca_and_client_cert_auth_anyone_comes_in(
    authority: Authority, settings: TLSSettings
):
    server = ServerTLS(replace(settings, client_cert_auth=False, trusted_ca_file=""), NullLog())
    await talk(server, context_of(authority, None))


async def test_a_certificate_of_another_ca_is_refused(
    authority: Authority, settings: TLSSettings, tmp_path: Path
):
    stranger = Authority(tmp_path, "other").issue("stranger")
    said, heard = await refusal(ServerTLS(settings, NullLog()), context_of(authority, stranger))
    assert said == (
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )
    assert heard == "TLSV1_ALERT_UNKNOWN_CA"


@pytest.mark.parametrize(
    ("begins", "ends"), [(-3 * DAY, -DAY), (DAY, 3 * DAY)], ids=["expired", "not yet valid"]
)
async def test_a_certificate_is_good_only_in_its_time(
    authority: Authority,
    settings: TLSSettings,
    begins: datetime.timedelta,
    ends: datetime.timedelta,
):
    late = authority.issue("late", begins=begins, ends=ends)
    said, _ = await refusal(ServerTLS(settings, NullLog()), context_of(authority, late))
    assert said == (
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"
    )


async def test_a_servers_certificate_is_no_clients(authority: Authority, settings: TLSSettings):
    server_only = authority.issue("wrong", usages=(ExtendedKeyUsageOID.SERVER_AUTH,))
    said, _ = await refusal(ServerTLS(settings, NullLog()), context_of(authority, server_only))
    assert said.endswith("x509: certificate specifies an incompatible key usage")


async def test_an_authority_need_not_be_a_root(authority: Authority, settings: TLSSettings):
    """Go takes any certificate of the CA file for an end of the chain, and so does etcd."""
    client = authority.issue("client", common_name="alice")
    server = ServerTLS(replace(settings, trusted_ca_file=client.cert_file), NullLog())
    await talk(server, context_of(authority, client))


# -- Names


@pytest.mark.parametrize(("name", "comes_in"), [("alice", True), ("bob", True), ("eve", False)])
async def test_only_allowed_common_names_come_in(
    authority: Authority, settings: TLSSettings, name: str, comes_in: bool
):
    server = ServerTLS(replace(settings, allowed_cn=("alice", "bob")), NullLog())
    client = context_of(authority, authority.issue("client", common_name=name))
    if comes_in:
        await talk(server, client)
    else:
        said, _ = await refusal(server, client)
        assert said == "client certificate authentication failed"


@pytest.mark.parametrize(
    ("hosts", "allowed", "comes_in"),
    [
        (("a.example.org",), ("a.example.org",), True),
        (("*.example.org",), ("a.example.org",), True),
        (("b.example.org",), ("x", "b.example.org"), True),
        (("10.0.0.1",), ("10.0.0.1",), True),
        (("b.example.org",), ("a.example.org",), False),
        ((), ("a.example.org",), False),
    ],
)
async def test_only_allowed_hostnames_come_in(
    authority: Authority,
    settings: TLSSettings,
    hosts: tuple[str, ...],
    allowed: tuple[str, ...],
    comes_in: bool,
):
    server = ServerTLS(replace(settings, allowed_hostname=allowed), NullLog())
    # The CN names an allowed host, and counts for nothing.
    pair = authority.issue("client", common_name="a.example.org", hosts=hosts)
    if comes_in:
        await talk(server, context_of(authority, pair))
    else:
        said, _ = await refusal(server, context_of(authority, pair))
        assert said == "client certificate authentication failed"


@pytest.mark.parametrize(
    ("host", "matches"),
    [
        ("a.example.org", True),
        ("A.Example.ORG.", True),
        ("w.wild.org", True),
        ("wild.org", False),
        ("x.w.wild.org", False),
        ("::1", True),
        ("[0:0:0:0:0:0:0:1]", True),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("", False),
    ],
)
def test_a_certificate_answers_to_its_names_only(host: str, matches: bool):
    who = Identity(
        "cn.example.org",
        ("a.example.org", "*.wild.org", "10.0.0.2"),
        ("10.0.0.1", "0:0:0:0:0:0:0:1"),
    )
    assert who.answers_to(host) is matches


async def test_a_server_with_another_name_is_not_talked_to(
    authority: Authority, settings: TLSSettings
):
    client = context_of(authority, authority.issue("client"))
    async with echo_port(ServerTLS(settings, NullLog())) as echo:
        stream = TLSStream(await echo.connect(), client, server_hostname="elsewhere")
        with pytest.raises(trio.BrokenResourceError) as failure:
            await stream.do_handshake()
    assert isinstance(failure.value.__cause__, ssl.SSLCertVerificationError)


async def test_a_client_may_be_told_not_to_look(authority: Authority, settings: TLSSettings):
    pair = authority.issue("client")
    careless = TLSSettings(cert_file=pair.cert_file, key_file=pair.key_file, skip_verify=True)
    client = ClientTLS(careless, NullLog()).context()
    await talk(ServerTLS(settings, NullLog()), client, host="elsewhere")


async def test_a_client_shows_its_client_certificate_if_it_has_one(
    authority: Authority, settings: TLSSettings
):
    server = ServerTLS(replace(settings, allowed_cn=("client",)), NullLog())
    shown = authority.issue("shown", common_name="client")
    both = replace(settings, client_cert_file=shown.cert_file, client_key_file=shown.key_file)
    await talk(server, ClientTLS(both, NullLog()).context())
    said, _ = await refusal(server, ClientTLS(settings, NullLog()).context())
    assert said == "client certificate authentication failed"


# -- Revocation


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
async def test_a_revoked_certificate_is_refused(
    authority: Authority,
    settings: TLSSettings,
    tmp_path: Path,
    encoding: serialization.Encoding,
):
    good, bad = authority.issue("good"), authority.issue("bad")
    crl_file = str(tmp_path / "crl")
    authority.revoke(crl_file, bad, encoding=encoding)
    server = ServerTLS(replace(settings, crl_file=crl_file), NullLog())
    await talk(server, context_of(authority, good))
    said, _ = await refusal(server, context_of(authority, bad))
    assert said == f"transport: certificate serial {bad.certificate.serial_number:x} revoked"


async def test_a_certificate_is_refused_once_it_has_been_revoked(
    authority: Authority, settings: TLSSettings, tmp_path: Path
):
    pair = authority.issue("client")
    crl_file = str(tmp_path / "crl")
    authority.revoke(crl_file)
    server = ServerTLS(replace(settings, crl_file=crl_file), NullLog())
    await talk(server, context_of(authority, pair))
    authority.revoke(crl_file, pair)
    said, _ = await refusal(server, context_of(authority, pair))
    assert said.endswith("revoked")


# -- Files that change


async def test_a_renewed_certificate_is_shown_to_the_next_client(
    authority: Authority, settings: TLSSettings
):
    log = LinesLog()
    server = ServerTLS(settings, log)
    client = context_of(authority, authority.issue("client"))

    async def serial() -> int:
        stream = await talk(server, client)
        der = stream.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number

    before = await serial()
    renewed = authority.issue("server")  # in the same files
    assert await serial() == renewed.certificate.serial_number != before
    assert log.lines == [("info", "reloaded certificates", {"cert": settings.cert_file})]


async def test_a_new_authority_counts_from_the_next_handshake(
    authority: Authority, settings: TLSSettings, tmp_path: Path
):
    other = Authority(tmp_path, "other")
    server = ServerTLS(settings, NullLog())
    of_old = context_of(authority, authority.issue("old"))
    of_new = context_of(authority, other.issue("new"))
    await talk(server, of_old)
    other.write(settings.trusted_ca_file)
    await talk(server, of_new)
    said, _ = await refusal(server, of_old)
    assert said.endswith("certificate signed by unknown authority")


@pytest.mark.parametrize("broken", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA"])
async def test_a_broken_new_certificate_keeps_the_old_and_is_reported_once(
    authority: Authority, settings: TLSSettings, broken: bytes
):
    log = LinesLog()
    server = ServerTLS(settings, log)
    client = context_of(authority, authority.issue("client"))
    await trio.Path(settings.cert_file).write_bytes(broken)
    await talk(server, client)
    await talk(server, client)
    assert [(level, text) for level, text, _ in log.lines] == [("warning", "kept old certificates")]


async def test_a_certificate_removed_and_put_back_is_reloaded(
    authority: Authority, settings: TLSSettings
):
    log = LinesLog()
    server = ServerTLS(settings, log)
    client = context_of(authority, authority.issue("client"))
    os.rename(settings.key_file, f"{settings.key_file}.away")
    await talk(server, client)
    assert log.errors_of("kept old certificates") == [
        f"open {settings.key_file}: no such file or directory"
    ]
    os.rename(f"{settings.key_file}.away", settings.key_file)
    await talk(server, client)
    assert log.lines[-1][1] == "reloaded certificates"


async def test_a_certificate_ahead_of_its_key_waits_for_it(
    authority: Authority, settings: TLSSettings
):
    """Renewal writes two files; a handshake in between must not fail."""
    server = ServerTLS(settings, NullLog())
    client = context_of(authority, authority.issue("client"))
    new = authority.issue("renewed")
    os.replace(new.cert_file, settings.cert_file)
    await talk(server, client)
    os.replace(new.key_file, settings.key_file)
    stream = await talk(server, client)
    shown = x509.load_der_x509_certificate(stream.getpeercert(binary_form=True))
    assert shown.serial_number == new.certificate.serial_number


# -- Versions, suites, protocols


async def test_a_client_that_is_too_old_is_refused(authority: Authority, settings: TLSSettings):
    server = ServerTLS(replace(settings, min_version="TLS1.3"), NullLog())
    client = context_of(authority, authority.issue("client"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    said, heard = await refusal(server, client)
    assert said == "tls: client offered only unsupported versions"
    assert heard == "TLSV1_ALERT_PROTOCOL_VERSION"


async def test_the_configured_suite_is_used(authority: Authority, settings: TLSSettings):
    suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    server = ServerTLS(replace(settings, max_version="TLS1.2", cipher_suites=(suite,)), NullLog())
    stream = await talk(server, context_of(authority, authority.issue("client")))
    assert stream.cipher()[0] == SUITES[suite]


async def test_no_suite_in_common_is_refused(authority: Authority, settings: TLSSettings):
    suites = ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",)  # but the certificate is not RSA
    server = ServerTLS(replace(settings, max_version="TLS1.2", cipher_suites=suites), NullLog())
    said, _ = await refusal(server, context_of(authority, authority.issue("client")))
    assert said == "tls: no cipher suite supported by both client and server"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["h2"], "h2"),
        (["http/1.1"], "http/1.1"),
        (["http/1.1", "h2"], "h2"),
        (["other"], None),
        ([], None),
    ],
)
async def test_the_protocol_is_agreed_upon(
    authority: Authority, settings: TLSSettings, offered: list[str], chosen: str | None
):
    client = context_of(authority, authority.issue("client"))
    client.set_alpn_protocols(offered)
    stream = await talk(ServerTLS(settings, NullLog()), client)
    assert stream.selected_alpn_protocol() == chosen


# -- Settings that cannot be used


def broken_key(settings: TLSSettings) -> TLSSettings:
    Path(settings.key_file).write_text("no key")
    return settings


def broken_certificate(settings: TLSSettings) -> TLSSettings:
    Path(settings.cert_file).write_text("no certificate")
    return settings


def encrypted_key(settings: TLSSettings) -> TLSSettings:
    path = Path(settings.key_file)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return settings


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: replace(s, cert_file="/none"), "open /none: no such file or directory"),
        (lambda s: replace(s, trusted_ca_file="/none"), "open /none: no such file or directory"),
        (lambda s: replace(s, crl_file="/none"), "open /none: no such file or directory"),
        (lambda s: replace(s, trusted_ca_file=s.key_file), "tls: no certificate found in "),
        (lambda s: replace(s, crl_file=s.key_file), "x509: malformed crl "),
        (lambda s: replace(s, key_file=""), "KeyFile and CertFile must both be present"),
        (broken_key, "tls: failed to find any PEM data in key input"),
        (broken_certificate, "tls: failed to find any PEM data in certificate input"),
        (encrypted_key, "tls: cannot use "),
        (lambda s: replace(s, min_version="TLS1.1"), 'unexpected TLS version "TLS1.1"'),
        (lambda s: replace(s, cipher_suites=("X",)), 'unexpected TLS cipher suite "X"'),
    ],
)
def test_unusable_settings_are_refused_in_one_line(
    settings: TLSSettings, spoil: Callable[[TLSSettings], TLSSettings], words: str
):
    with pytest.raises(TLSError) as refusal:
        ServerTLS(spoil(settings), NullLog())
    assert str(refusal.value).startswith(words)
    assert "\n" not in str(refusal.value)


def test_a_key_of_another_certificate_is_refused(authority: Authority, settings: TLSSettings):
    other = authority.issue("other")
    with pytest.raises(TLSError, match="tls: private key does not match public key"):
        ServerTLS(replace(settings, key_file=other.key_file), NullLog())


def test_suites_of_tls_1_3_are_accepted_and_say_nothing(settings: TLSSettings):
    ServerTLS(replace(settings, cipher_suites=("TLS_AES_128_GCM_SHA256",)), NullLog())


# -- auto-tls


async def test_a_self_signed_certificate_serves_and_is_used_again(tmp_path: Path):
    directory = tmp_path / "fixtures" / "client"
    files = self_signed(directory, ["127.0.0.1", "localhost"], 1, NOW)
    again = self_signed(directory, ["other"], 9, NOW)
    assert files == again == (str(directory / "cert.pem"), str(directory / "key.pem"))
    settings = TLSSettings(cert_file=files[0], key_file=files[1])
    client = ClientTLS(TLSSettings(skip_verify=True), NullLog()).context()
    stream = await talk(ServerTLS(settings, NullLog()), client, host="anything")
    certificate = x509.load_der_x509_certificate(stream.getpeercert(binary_form=True))
    assert certificate.not_valid_after_utc == NOW + 365 * DAY
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_self_signed_key_is_for_its_owner_only(tmp_path: Path):
    _, key_file = self_signed(tmp_path, ["h"], 1, NOW)
    assert Path(key_file).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cert.pem", "key.pem"]


def test_a_half_made_pair_is_made_again(tmp_path: Path):
    (tmp_path / "key.pem").write_text("half")
    cert_file, key_file = self_signed(tmp_path, ["h"], 1, NOW)
    ServerTLS(TLSSettings(cert_file=cert_file, key_file=key_file), NullLog())
