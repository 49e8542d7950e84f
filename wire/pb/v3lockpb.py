"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

LockRequest = message("v3lockpb.LockRequest")
LockResponse = message("v3lockpb.LockResponse")
UnlockRequest = message("v3lockpb.UnlockRequest")
UnlockResponse = message("v3lockpb.UnlockResponse")
