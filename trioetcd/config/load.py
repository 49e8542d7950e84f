"""From a command line, an environment and perhaps a file to a server's configuration.

Pure: the environment is passed in, and so is what reads a file.
Source: etcd server/etcdmain/config.go (parse).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trioetcd.config.file import read_file
from trioetcd.config.flags import variable
from trioetcd.config.offered import check_offered, without_effect
from trioetcd.config.server import ServerConfig, build
from trioetcd.config.sources import (
    ConfigError,
    Given,
    VersionAsked,
    read_command_line,
    read_environment,
)


def load(
    arguments: Sequence[str], environment: Mapping[str, str], read_text: Callable[[str], str]
) -> ServerConfig:
    """What `trioetcd serve` runs with.  `read_text` raises OSError or UnicodeDecodeError.

    Raises:
        UsageError, ConfigError: see there.
        HelpAsked, VersionAsked: nothing is to be run.
    """
    values = read_command_line(arguments)
    if values.get("version"):
        raise VersionAsked
    path = values.get("config-file") or environment.get(variable("config-file"))
    given = _from_file(path, read_text) if path else read_environment(environment, values)
    check_offered(given)
    given.remarks += without_effect(given)
    return build(given)


def _from_file(path: str, read_text: Callable[[str], str]) -> Given:
    try:
        text = read_text(path)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"open {path}: {why}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot parse {path}: {error}") from error
    return read_file(text, path)
