"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

KeyValue = message("mvccpb.KeyValue")
Event = message("mvccpb.Event")
