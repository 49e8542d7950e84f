"""The etcd release whose behaviour this program shows to its clients.

Clients choose features by it (Kubernetes, Patroni), so it is made of digits and dots only.
"""

from __future__ import annotations

ETCD_VERSION = "3.6.0"
CLUSTER_VERSION = "3.6.0"  # major.minor.0: what members must agree on
STORAGE_VERSION = "3.6.0"
