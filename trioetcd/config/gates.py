"""Feature gates: what is tried out, and may be switched on or off by name.

Source: etcd server/features/etcd_features.go, pkg/featuregate/feature_gate.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from trioetcd.config.values import BadValue, parse_bool

ALPHA = {
    "StopGRPCServiceOnDefrag": False,
    "InitialCorruptCheck": False,
    "CompactHashCheck": False,
    "LeaseCheckpoint": False,
    "LeaseCheckpointPersist": False,
    "SetMemberLocalAddr": False,
    "PriorityRequest": False,
}
BETA = {
    "TxnModeWriteWithSharedBuffer": True,
    "FastLeaseKeepAlive": True,
}
GROUPS = {"AllAlpha": ALPHA, "AllBeta": BETA}
DEFAULTS: Mapping[str, bool] = {**ALPHA, **BETA, **dict.fromkeys(GROUPS, False)}

# Flags of before there were gates.
FLAGS: Mapping[str, str] = {
    "experimental-initial-corrupt-check": "InitialCorruptCheck",
    "experimental-compact-hash-check-enabled": "CompactHashCheck",
    "experimental-enable-lease-checkpoint": "LeaseCheckpoint",
    "experimental-enable-lease-checkpoint-persist": "LeaseCheckpointPersist",
    "experimental-stop-grpc-service-on-defrag": "StopGRPCServiceOnDefrag",
    "experimental-txn-mode-write-with-shared-buffer": "TxnModeWriteWithSharedBuffer",
}


def parse_gates(text: str) -> dict[str, bool]:
    """`Name=true,Name=false`: the gates named, and no others."""
    gates: dict[str, bool] = {}
    for pair in filter(None, text.split(",")):
        name, has_value, value = pair.partition("=")
        name, value = name.strip(), value.strip()
        if not has_value:
            raise BadValue(f"missing bool value for {name}")
        try:
            gates[name] = parse_bool(value)
        except BadValue:
            raise BadValue(
                f'invalid value of {name}={value}, err: strconv.ParseBool: parsing "{value}": '
                "invalid syntax"
            ) from None
    for name in gates:
        if name not in DEFAULTS:
            raise BadValue(f"unrecognized feature gate: {name}")
    return gates


def stage_of(gate: str) -> str:
    """As metrics call it."""
    return "ALPHA" if gate in ALPHA or gate == "AllAlpha" else "BETA"


def all_gates(named: Mapping[str, bool]) -> dict[str, bool]:
    """Every gate; a group sets those of its members that are not named themselves."""
    gates = dict(DEFAULTS)
    for group, members in GROUPS.items():
        if group in named:
            gates.update(dict.fromkeys(members, named[group]))
    return {**gates, **named}
