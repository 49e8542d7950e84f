"""Tokens: simple ones, signed ones, and none."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from actors.auth import simple_tokens as simple_tokens_module
from actors.auth.identity import Identity
from actors.auth.jwt_tokens import CANNOT_SIGN, METHODS, JWTTokens
from actors.auth.passwords import effective_cost, hash_password, is_right
from actors.auth.token_settings import BadTokenOptions, JWTSettings, NoTokens
from tests.auth.world import Clock, simple_tokens
from trioetcd.config.tokens import token_settings
from trioetcd.node.settings import SimpleTokenSettings
from wire.errors import AuthFailed, EtcdError

# -- Simple


def test_a_token_is_its_users_until_its_time_is_over():
    clock = Clock()
    tokens = simple_tokens(clock)
    token = tokens.assign("alice", tokens.new_prefix(), 7, 3)
    assert token.endswith(".7")
    assert len(token) == 18
    clock.now = 299.0
    assert tokens.identify(token, 5) == Identity("alice", 5)
    clock.now = 598.0
    assert tokens.identify(token, 5) == Identity("alice", 5)
    clock.now = 899.0
    assert tokens.identify(token, 5) is None
    assert len(tokens) == 0


def test_tokens_whose_time_is_over_are_swept():
    clock = Clock()
    tokens = simple_tokens(clock)
    old, used = [tokens.assign("a", tokens.new_prefix(), index, 1) for index in (1, 2)]
    clock.now = 200.0
    assert tokens.identify(old, 1)
    clock.now = 310.0
    tokens.sweep()
    assert len(tokens) == 1
    assert tokens.identify(used, 1) is None
    assert tokens.identify(old, 1)


def test_a_users_tokens_are_forgotten_and_no_others():
    tokens = simple_tokens()
    first = tokens.assign("a", "x", 1, 1)
    second = tokens.assign("b", "y", 2, 1)
    tokens.forget_user("a")
    assert tokens.identify(first, 1) is None
    assert tokens.identify(second, 1)
    tokens.forget_all()
    assert tokens.identify(second, 1) is None


def test_the_number_of_tokens_is_limited(monkeypatch):
    monkeypatch.setattr(simple_tokens_module, "MOST_TOKENS", 3)
    tokens = simple_tokens()
    made = [tokens.assign("a", str(number), number, 1) for number in range(3)]
    tokens.identify(made[0], 1)
    made.append(tokens.assign("a", "3", 3, 1))
    assert [tokens.identify(token, 1) is not None for token in made] == [True, False, True, True]


@pytest.mark.parametrize(
    ("token", "index"),
    [
        ("a.11", 11),
        ("a.10", 0),
        ("a.1", 0),
        ("a.", 0),
        ("a", 0),
        ("", 0),
        ("a.b", 0),
        ("a.-11", 0),
        ("a.٣٣", 0),
        ("a.1.99", 0),
        ("a." + "9" * 10_000, 0),
    ],
)
def test_a_token_says_when_it_can_be_known(token: str, index: int):
    assert simple_tokens(applied=lambda: 10).known_at(token) == index


# -- Signed

RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS = {
    "RS": RSA_KEY,
    "PS": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "Ed": ed25519.Ed25519PrivateKey.generate(),
}
SECRET = b"of all members, and of nobody else; at least so long that it is worth guessing" * 2


def key_of(method: str):
    return KEYS.get(method) or KEYS[method[:2]]


def private(method: str) -> bytes:
    if method.startswith("HS"):
        return SECRET
    return key_of(method).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public(method: str) -> bytes:
    key = key_of(method).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class UnixClock(Clock):
    now = 1.7e9


@pytest.mark.parametrize("method", METHODS)
def test_a_signed_token_says_whose_it_is_until_it_expires(method: str):
    clock = UnixClock()
    tokens = JWTTokens(JWTSettings(method, private_key=private(method), ttl=60), clock)
    token = tokens.assign("alice", tokens.new_prefix(), 7, 3)
    for _ in range(2):
        assert tokens.identify(token, 99) == Identity("alice", 3), "its own revision"
    assert jwt.get_unverified_header(token) == {"alg": method, "typ": "JWT"}
    clock.now += 61
    assert tokens.identify(token, 3) is None


@pytest.mark.parametrize("method", [each for each in METHODS if not each.startswith("HS")])
def test_who_has_the_public_key_alone_can_check_and_not_sign(method: str):
    clock = UnixClock()
    token = JWTTokens(JWTSettings(method, private_key=private(method)), clock).assign("a", "", 1, 1)
    checker = JWTTokens(JWTSettings(method, public_key=public(method)), clock)
    assert checker.identify(token, 1) == Identity("a", 1)
    with pytest.raises(EtcdError, match=CANNOT_SIGN):
        checker.assign("a", "", 1, 1)


def test_a_token_that_was_not_signed_with_the_key_is_nobodys():
    clock = UnixClock()
    tokens = JWTTokens(JWTSettings("RS256", private_key=private("RS256")), clock)
    good = tokens.assign("alice", "", 1, 1)
    head, claims, signature = good.split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"username": "root"}).encode()).decode()
    another = jwt.encode({"username": "root", "revision": 1}, SECRET, "HS256")
    # The public key taken for a secret, and no signature at all.
    none = jwt.encode({"username": "root", "revision": 1}, None, "none")
    for token in (f"{head}.{forged}.{signature}", f"{head}.{claims}.", another, none, "", "a.b.c"):
        assert tokens.identify(token, 1) is None
    assert tokens.identify(good, 1)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"username": "a"},
        {"revision": 1},
        {"username": 1, "revision": 1},
        {"username": "a", "revision": "1"},
        {"username": "a", "revision": 1, "exp": "never"},
        {"username": "a", "revision": 1, "nbf": 1.8e9},
        {"username": "a", "revision": 1, "exp": 1.6e9},
        {"username": "a", "revision": float("inf")},
    ],
)
def test_a_token_that_claims_too_little_or_at_the_wrong_time_is_nobodys(claims):
    tokens = JWTTokens(JWTSettings("HS256", private_key=SECRET), UnixClock())
    assert tokens.identify(jwt.encode(claims, SECRET, "HS256"), 1) is None


def test_a_token_of_somebody_elses_making_is_as_good():
    tokens = JWTTokens(JWTSettings("HS256", private_key=SECRET), UnixClock())
    claims = {"username": "a", "revision": 4.0}
    assert tokens.identify(jwt.encode(claims, SECRET, "HS256"), 1) == Identity("a", 4)


@pytest.mark.parametrize("method", ["ES256", "ES512"])
def test_a_key_of_another_curve_is_found_out_before_anybody_logs_in(method: str):
    for key in ({"private_key": private("ES384")}, {"public_key": public("ES384")}):
        with pytest.raises(BadTokenOptions, match="auth: invalid key"):
            JWTTokens(JWTSettings(method, **key), UnixClock())


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
def test_a_key_too_short_for_its_method_is_found_out_before_anybody_logs_in():
    short = rsa.generate_private_key(65537, 1024)
    pem = short.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(BadTokenOptions, match="auth: invalid key"):
        JWTTokens(JWTSettings("PS512", private_key=pem), UnixClock())


def test_keys_must_fit():
    clock = UnixClock()
    for settings, words in (
        (JWTSettings("RS256"), "missing key data"),
        (JWTSettings("HS256", public_key=SECRET), "missing key data"),
        (JWTSettings("XX256", private_key=SECRET), "invalid auth signature method"),
        (JWTSettings("", private_key=SECRET), "invalid auth signature method"),
        (JWTSettings("RS256", private_key=b"no key"), "invalid key"),
        (JWTSettings("RS256", private_key=private("ES256")), "not a private key"),
        (JWTSettings("ES256", public_key=public("RS256")), "not a public key"),
    ):
        with pytest.raises(BadTokenOptions, match=words):
            JWTTokens(settings, clock)
    other = rsa.generate_private_key(65537, 2048).public_key()
    mismatch = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(BadTokenOptions, match="don't match"):
        JWTTokens(JWTSettings("RS256", mismatch, private("RS256")), clock)
    JWTTokens(JWTSettings("RS256", public("RS256"), private("RS256")), clock)


def test_without_tokens_nobody_gets_one():
    tokens = NoTokens()
    assert tokens.identify("a.1", 1) is None
    with pytest.raises(AuthFailed):
        tokens.assign("a", "", 1, 1)


# -- What is asked for


def test_the_option_names_the_kind(tmp_path: Path):
    key = tmp_path / "key"
    key.write_bytes(SECRET)
    assert token_settings("simple", 17.0) == SimpleTokenSettings(17.0)
    assert token_settings("", 17.0) is None
    assert token_settings(f"jwt,sign-method=HS256,priv-key={key},ttl=10m", 17.0) == JWTSettings(
        "HS256", private_key=SECRET, ttl=600.0
    )
    assert token_settings(f"jwt,sign-method=RS256,pub-key={key}", 17.0) == JWTSettings(
        "RS256", SECRET
    )


@pytest.mark.parametrize(
    "option",
    ["other", "jwt,x", "jwt,a=1,a=2", "jwt,ttl=soon", "jwt,priv-key=/none/key", "simple,a=b=c"],
)
def test_what_cannot_be_is_refused(option: str):
    with pytest.raises(BadTokenOptions, match="auth: invalid auth options"):
        token_settings(option, 300.0)


# -- Passwords


def test_a_hash_is_the_passwords_and_no_others():
    hashed = hash_password("pässword", 4, bytes(range(16)))
    assert hashed.startswith(b"$2a$04$")
    assert is_right("pässword", hashed)
    assert not is_right("password", hashed)
    assert not is_right("", hashed)
    assert is_right("", hash_password("", 4, bytes(16)))
    assert not is_right("x", b"")
    assert not is_right("x", b"no hash")


def test_a_hash_of_gos_making_is_understood():
    """Made by etcd 3.5.1 at its default cost."""
    hashed = b"$2a$10$IhOaVy/dgpzMLqfq8gPjp.Gjwipihzz5WtlgEz8LvXvFtWjLT/GkW"
    assert is_right("rootpw", hashed)
    assert not is_right("rootpx", hashed)


@pytest.mark.parametrize(("given", "used"), [(4, 4), (31, 31), (10, 10), (3, 10), (32, 10)])
def test_a_cost_that_cannot_be_is_the_default(given: int, used: int):
    assert effective_cost(given) == used
