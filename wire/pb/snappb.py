"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

snapshot = message("snappb.snapshot")
