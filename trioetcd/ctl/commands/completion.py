"""completion: a script that completes commands in a shell.

Source: etcd etcdctl/ctlv3/command/completion_command.go (its words; the scripts are ours).
"""

from __future__ import annotations

from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.completion import SHELLS, script
from trioetcd.ctl.errors import CommandFailed

LONG = """
In bash, for this shell, and for all to come:

$ source <(trioetcd ctl completion bash)
$ trioetcd ctl completion bash > ~/.local/share/bash-completion/completions/trioetcd

In zsh, in a directory of $fpath, and with compinit in ~/.zshrc:

$ trioetcd ctl completion zsh > "${fpath[1]}/_trioetcd"

In fish:

$ trioetcd ctl completion fish > ~/.config/fish/completions/trioetcd.fish

In PowerShell, for this shell; in its profile, for all to come:

PS> trioetcd ctl completion powershell | Out-String | Invoke-Expression
"""


async def complete(said: Invocation) -> None:
    if len(said.arguments) != 1:
        raise CommandFailed(f"accepts 1 arg(s), received {len(said.arguments)}")
    shell = said.arguments[0]
    if shell not in SHELLS:
        raise CommandFailed(f'invalid argument "{shell}" for "trioetcd ctl completion"')
    said.session.console.print(script(shell))


COMMANDS = [
    Command(
        ("completion",),
        "Generate completion script",
        complete,
        "[bash|zsh|fish|powershell]",
        LONG,
        is_offline=True,
    )
]
