"""What etcd's flags ask for and this release does not do: refused, or said to have no effect.

Nothing is ignored in silence but what has no effect in etcd either, or is another word for how
the same is done here (see `ignored` in `flags.py`).
"""

from __future__ import annotations

from trioetcd.config.checks import named_gates
from trioetcd.config.flags import BY_NAME
from trioetcd.config.sources import ConfigError, Given, Remark

# Taken, and said to have no effect: see "Differences from etcd" in ARCHITECTURE.md.
NO_EFFECT = (
    "downgrade-check-time",
    "enable-distributed-tracing",
    "raft-read-timeout",
    "raft-write-timeout",
)
GATES_WITHOUT_EFFECT = (
    "StopGRPCServiceOnDefrag",
    "SetMemberLocalAddr",
)


def check_offered(given: Given) -> None:
    """Raises ConfigError for what will never be done here."""
    if given.get("proxy") != "off":
        raise ConfigError("--proxy is not offered: this server has no v2 proxy")
    if given.get("discovery-fallback") == "proxy":
        raise ConfigError(
            'v2 proxy is deprecated, and --discovery-fallback can\'t be configured as "proxy"'
        )
    for flag in ("discovery", "discovery-proxy"):
        if given.get(flag):
            raise ConfigError(f"--{flag} is not offered: the v2 discovery service is gone")


def without_effect(given: Given) -> list[Remark]:
    """Remarks about what was asked for in vain."""
    vain = [
        f"--{flag}"
        for flag in NO_EFFECT
        if given.is_set(flag) and given.get(flag) != BY_NAME[flag].default
    ]
    named = named_gates(given)
    vain += [f"--feature-gates={gate}" for gate in GATES_WITHOUT_EFFECT if named.get(gate)]
    remarks = [Remark("flags without effect in this release", {"flags": vain})] if vain else []
    if given.get("enable-v2"):  # passed by many who only use the v3 API
        remarks.append(Remark("--enable-v2 has no effect: this server has no v2 API"))
    return remarks
