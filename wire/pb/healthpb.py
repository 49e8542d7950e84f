"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

HealthCheckRequest = message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message("grpc.health.v1.HealthCheckResponse")
HealthListRequest = message("grpc.health.v1.HealthListRequest")
HealthListResponse = message("grpc.health.v1.HealthListResponse")
