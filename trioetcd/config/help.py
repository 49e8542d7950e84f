"""What `--help` and a misunderstood command line are answered with.  Source: etcd help.go."""

from __future__ import annotations

from trioetcd.config.flags import FLAGS, Flag
from trioetcd.config.values import show_value

USAGE = """Usage:

  trioetcd serve [flags]
    Start an etcd server.

  trioetcd serve --version
    Show the version of etcd.

  trioetcd serve -h | --help
    Show the help information about etcd.

  trioetcd serve --config-file PATH
    Take the configuration from a YAML or JSON file, and nothing from other flags or from
    environment variables.  Durations are whole nanoseconds in the file.
"""


def full_help() -> str:
    """All flags, section by section, with their defaults."""
    lines = [USAGE.rstrip()]
    section = ""
    for flag in FLAGS:
        if flag.section == "Ignored":
            break
        if flag.section != section:
            section = flag.section
            lines.append(f"\n{section}:")
        lines.append(f"  --{flag.name} '{_default(flag)}'\n    {flag.meaning}")
    return "\n".join(lines) + "\n"


def _default(flag: Flag) -> str:
    if flag.name == "data-dir":
        return "${name}.etcd"
    return "" if flag.default == {} else show_value(flag.default)
