"""The completion scripts: bash runs its one; the others hold the same words."""

from __future__ import annotations

import subprocess

import pytest

from tests.ctl.terminal import Terminal
from trioetcd.ctl.catalog import all_commands
from trioetcd.ctl.completion import SHELLS, script
from trioetcd.ctl.flags import GLOBAL
from wire.memory_network import MemoryNetwork

SECONDS = 20.0
TRY = """
try() {
    COMP_LINE=$1 COMP_POINT=${#1}
    __trioetcd
    echo "${COMPREPLY[*]}"
}
"""
TYPED = {
    "trioetcd c": "ctl",
    "trioetcd ctl mem": "member",
    "trioetcd ctl member ": "add list promote remove update",
    "trioetcd ctl --endpoints 127.0.0.1:1,b:2 member a": "add",
    "trioetcd ctl --endpoints=127.0.0.1:1 -w json member pro": "promote",
    "trioetcd ctl get --pr": "--prefix --print-value-only",
    "trioetcd ctl get -w ": "fields json protobuf simple table",
    "trioetcd ctl get --write-out ": "fields json protobuf simple table",
    "trioetcd ctl get --write-out=j": "json",
    "trioetcd ctl endpoint health --clu": "--cluster",
    "trioetcd ctl check perf --load ": "small medium large xLarge",
    "trioetcd ctl completion z": "zsh",
    "trioetcd ctl help user g": "get grant-role",
    "trioetcd ctl get member ": "",  # a key
    "trioetcd ctl get member --lim": "--limit",
    "trioetcd ctl lock n -- --p": "",  # another program's flag
    "trioetcd serve --na": "",  # left to the shell
}


def test_bash_completes():
    lines = [script("bash"), TRY, *(f"try '{line}'" for line in TYPED)]
    done = subprocess.run(
        ["bash", "--norc"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.stderr == ""
    assert dict(zip(TYPED, done.stdout.split("\n"), strict=False)) == TYPED


def test_bash_knows_whom_it_completes():
    done = subprocess.run(
        ["bash", "--norc"],
        input=script("bash") + "\ncomplete -p trioetcd\n",
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.stdout == "complete -o default -F __trioetcd trioetcd\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_flag_is_in_each_script(shell: str):
    text = script(shell)
    for command in all_commands():
        for word in (*command.path, *command.flags, *command.inherited, *GLOBAL):
            assert word in text, (command.name, word)


@pytest.mark.parametrize("shell", SHELLS)
async def test_the_command_prints_the_script(shell: str):
    done = await Terminal(MemoryNetwork()).run("completion", shell)
    assert done == (0, script(shell), "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "accepts 1 arg(s), received 0"),
        (("bash", "zsh"), "accepts 1 arg(s), received 2"),
        (("csh",), 'invalid argument "csh" for "trioetcd ctl completion"'),
    ],
)
async def test_no_other_shell_is_known(words: tuple[str, ...], why: str):
    done = await Terminal(MemoryNetwork()).run("completion", *words)
    assert done == (1, "", f"Error: {why}\n")
