"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

UserAddOptions = message("authpb.UserAddOptions")
User = message("authpb.User")
Permission = message("authpb.Permission")
Role = message("authpb.Role")
