"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

Record = message("walpb.Record")
Snapshot = message("walpb.Snapshot")
