"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

Lease = message("leasepb.Lease")
