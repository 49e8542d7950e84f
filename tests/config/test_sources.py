"""The command line and the environment, by the rules of Go's package flag."""

from __future__ import annotations

from typing import Any

import pytest

from trioetcd.config.flags import ANCIENT, BY_NAME, FLAGS
from trioetcd.config.sources import (
    ConfigError,
    HelpAsked,
    UsageError,
    read_command_line,
    read_environment,
)


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ([], {}),
        (["--"], {}),
        (["--name", "a", "--name=b"], {"name": "b"}),
        (["--name="], {"name": ""}),
        (["--name", "--wal-dir"], {"name": "--wal-dir"}),
        (["--name=a=b"], {"name": "a=b"}),
        (["--pre-vote=F"], {"pre-vote": False}),
        (["-pre-vote"], {"pre-vote": True}),
        (["--log-outputs", "a,b"], {"log-outputs": ("a", "b")}),
        (["--listen-metrics-urls="], {"listen-metrics-urls": ()}),
        (["--initial-cluster="], {"initial-cluster": ""}),
        (["--log-output=stderr"], {"log-outputs": ("stderr",)}),
        (["--max-wals=0x10"], {"max-wals": 16}),
        (["--quota-backend-bytes=-1"], {"quota-backend-bytes": -1}),
    ],
)
def test_a_command_line(arguments: list[str], values: dict[str, Any]):
    assert read_command_line(arguments) == values


def test_an_empty_list_of_urls_changes_nothing_and_counts_as_given():
    assert read_command_line(["--listen-peer-urls="]) == {
        "listen-peer-urls": ("http://localhost:2380",)
    }
    one = ["--listen-peer-urls=http://127.0.0.1:1", "--listen-peer-urls="]
    assert read_command_line(one) == {"listen-peer-urls": ("http://127.0.0.1:1",)}


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("--max-concurrent-streams=4294967296", "4294967296|value out of range"),
        ("--max-concurrent-streams=x", "x|invalid syntax"),
    ],
)
def test_a_flag_of_32_bits_is_etcds_own_and_says_more(argument: str, why: str):
    text, words = why.split("|")
    with pytest.raises(UsageError) as caught:
        read_command_line([argument])
    assert str(caught.value) == (
        f'invalid value "{text}" for flag -max-concurrent-streams: '
        f'strconv.ParseUint: parsing "{text}": {words}'
    )


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--snapshot-count=+1", 'invalid value "+1" for flag -snapshot-count: parse error'),
        (
            "--quota-backend-bytes=9223372036854775808",
            'invalid value "9223372036854775808" for flag -quota-backend-bytes: value out of range',
        ),
        (
            "--cors=",
            'invalid value "" for flag -cors: URL scheme must be http, https, unix, or unixs: ',
        ),
        (
            "--listen-client-urls=127.0.0.1:2379",
            'invalid value "127.0.0.1:2379" for flag -listen-client-urls: '
            'parse "127.0.0.1:2379": first path segment in URL cannot contain colon',
        ),
        (
            "--listen-client-urls=http://127.0.0.1:1/path",
            'invalid value "http://127.0.0.1:1/path" for flag -listen-client-urls: '
            "URL must not contain a path: http://127.0.0.1:1/path",
        ),
        (
            "--experimental-compact-hash-check-time=x",
            'invalid value "x" for flag -experimental-compact-hash-check-time: parse error',
        ),
        (
            "--feature-gates=LeaseCheckpoint",
            'invalid value "LeaseCheckpoint" for flag -feature-gates: '
            "missing bool value for LeaseCheckpoint",
        ),
    ],
)
def test_a_bad_value_is_said_with_the_flag_as_it_was_given(argument: str, words: str):
    with pytest.raises(UsageError) as caught:
        read_command_line([argument])
    assert str(caught.value) == words


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["--name=a", "-help", "extra"]])
def test_help_is_asked_for(arguments: list[str]):
    with pytest.raises(HelpAsked):
        read_command_line(arguments)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["extra"], "extra"), (["--", "-x"], "-x"), (["-"], "-"), (["--snapshot", "3"], "3")],
)
def test_a_word_that_is_no_flag(arguments: list[str], word: str):
    with pytest.raises(ConfigError, match=f"^'{word}' is not a valid flag$"):
        read_command_line(arguments)


@pytest.mark.parametrize("name", [flag.name for flag in ANCIENT])
def test_flags_of_etcd_2_are_taken_with_and_without_a_value(name: str):
    read_command_line([f"--{name}"])
    read_command_line([f"--{name}=7"])


def test_no_name_stands_for_two_flags():
    names = [name for flag in FLAGS for name in (flag.name, *flag.aliases)]
    assert len(names) == len(set(names)) == len(BY_NAME)


def test_what_the_command_line_leaves_out_comes_from_the_environment():
    given = read_environment(
        {"ETCD_NAME": "env", "ETCD_LOG_OUTPUTS": "a,b", "ETCD_DATA_DIR": "", "PATH": "/bin"},
        {"wal-dir": "w"},
    )
    assert given.values == {"wal-dir": "w", "name": "env", "log-outputs": ("a", "b")}
    assert not given.from_file


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("ETCD_SNAPSHOT_COUNT", "x", "parse error"),
        ("ETCD_CLIENT_CERT_AUTH", "maybe", "parse error"),
        ("ETCD_INITIAL_CLUSTER_STATE", "x", "invalid value"),
        (
            "ETCD_LISTEN_METRICS_URLS",
            "http://foo",
            'URL address does not have the form "host:port": http://foo',
        ),
    ],
)
def test_a_variable_of_the_wrong_type(variable: str, text: str, words: str):
    with pytest.raises(ConfigError) as caught:
        read_environment({variable: text}, {})
    assert str(caught.value) == f'invalid value "{text}" for {variable}: {words}'


def test_a_variable_of_an_old_name_conflicts_with_a_flag_of_the_new_one():
    with pytest.raises(ConfigError, match='variable "ETCD_LOG_OUTPUT" is shadowed'):
        read_environment({"ETCD_LOG_OUTPUT": "stderr"}, read_command_line(["--log-outputs=stdout"]))


def test_variables_of_other_programs_are_named_but_their_values_are_not():
    given = read_environment({"ETCD_ROOT_PASSWORD": "secret", "ETCDCTL_USER": "u"}, {})
    assert given.values == {}
    assert [(r.message, r.fields, r.is_warning) for r in given.remarks] == [
        (
            "unrecognized environment variable",
            {"environment_variable": "ETCD_ROOT_PASSWORD"},
            True,
        )
    ]


def test_a_password_that_is_a_flag_is_used_and_not_logged():
    given = read_environment({"ETCD_DISCOVERY_PASSWORD": "secret"}, {})
    assert given.values == {"discovery-password": "secret"}
    assert given.remarks == []


@pytest.mark.parametrize("name", ["ETCD_VERSION", "ETCD_UNSUPPORTED_ARCH", "ETCD_CONFIG_FILE"])
def test_variables_with_a_meaning_of_their_own_are_no_flags(name: str):
    given = read_environment({name: "x"}, {})
    assert (given.values, given.remarks) == ({}, [])
