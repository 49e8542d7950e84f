"""The backend's buckets, by etcd's names, so that a snapshot in etcd's form is a plain copy.

Source: etcd server/storage/schema/bucket.go.
"""

from __future__ import annotations

KEY = "key"  # revision -> KeyValue
META = "meta"
LEASE = "lease"
ALARM = "alarm"
CLUSTER = "cluster"
MEMBERS = "members"
MEMBERS_REMOVED = "members_removed"
AUTH = "auth"
AUTH_USERS = "authUsers"
AUTH_ROLES = "authRoles"

ALL = (
    KEY,
    META,
    LEASE,
    ALARM,
    CLUSTER,
    MEMBERS,
    MEMBERS_REMOVED,
    AUTH,
    AUTH_USERS,
    AUTH_ROLES,
)

# Rows of META.
CONSISTENT_INDEX = b"consistent_index"  # log index of the last entry in this database, 8 bytes
TERM = b"term"  # and its term, 8 bytes
CONF_STATE = b"confState"  # raft's configuration there, JSON
SCHEDULED_COMPACTION = b"scheduledCompactRev"  # a revision key
FINISHED_COMPACTION = b"finishedCompactRev"  # a revision key
STORAGE_VERSION = b"storageVersion"
