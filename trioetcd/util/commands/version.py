"""version."""

from __future__ import annotations

from trioetcd.util.command import Command, Invocation
from wire.version import ETCD_VERSION


def version(said: Invocation) -> None:
    said.no_arguments("version command takes no arguments")
    minor = ".".join(ETCD_VERSION.split(".")[:2])
    said.print(f"trioetcd util version: {ETCD_VERSION}\nAPI version: {minor}\n")


COMMANDS = [Command(("version",), "Prints the version of trioetcd util", version)]
