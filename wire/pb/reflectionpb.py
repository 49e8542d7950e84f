"""Made by scripts/genpb.py; do not edit."""

from wire.pb.pool import message

ServerReflectionRequest = message("grpc.reflection.v1.ServerReflectionRequest")
ExtensionRequest = message("grpc.reflection.v1.ExtensionRequest")
ServerReflectionResponse = message("grpc.reflection.v1.ServerReflectionResponse")
FileDescriptorResponse = message("grpc.reflection.v1.FileDescriptorResponse")
ExtensionNumberResponse = message("grpc.reflection.v1.ExtensionNumberResponse")
ListServiceResponse = message("grpc.reflection.v1.ListServiceResponse")
ServiceResponse = message("grpc.reflection.v1.ServiceResponse")
ErrorResponse = message("grpc.reflection.v1.ErrorResponse")
