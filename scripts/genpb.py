"""Build wire/pb from its .proto files: the descriptors, one module per package, typed stubs.

Run it after changing a .proto file: `python scripts/genpb.py`.  Needs grpcio-tools and
mypy-protobuf (the `dev` extra); what it writes is committed, so users need neither.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from grpc_tools import protoc

PB = Path(__file__).resolve().parent.parent / "wire" / "pb"
MADE_BY = '"""Made by scripts/genpb.py; do not edit."""\n\n'


def main() -> None:
    protos = sorted(path.name for path in PB.glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        descriptors = Path(scratch, "descriptors")
        run_protoc("--include_imports", f"--descriptor_set_out={descriptors}", *protos)
        plugin = Path(sys.executable).with_name("protoc-gen-mypy")
        run_protoc(f"--plugin=protoc-gen-mypy={plugin}", f"--mypy_out=quiet:{scratch}", *protos)
        files = FileDescriptorSet.FromString(descriptors.read_bytes())
        for stub in Path(scratch).glob("*_pb2.pyi"):
            name = stub.name.replace("_pb2.pyi", ".pyi")
            (PB / name).write_text(retarget(stub.read_text()))
    write_descriptors(files)
    for file in files.file:
        write_module(file.name.removesuffix(".proto"), file)
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(PB)], check=True)


def run_protoc(*arguments: str) -> None:
    if protoc.main(["protoc", f"-I{PB}", *arguments]) != 0:
        raise SystemExit("protoc failed")


def retarget(stub: str) -> str:
    """Point a stub's imports at wire.pb: the plugin assumes top-level `_pb2` modules."""
    stub = re.sub(r"^import (\w+)_pb2 as (\w+)$", r"from wire.pb import \1 as \2", stub, flags=re.M)
    stub = re.sub(r"^import (\w+)_pb2$", r"from wire.pb import \1", stub, flags=re.M)
    return re.sub(r"\b(\w+pb)_pb2\b", r"\1", stub)


def write_descriptors(files: FileDescriptorSet) -> None:
    lines = "".join(
        f"    {file.SerializeToString()!r},\n" for file in files.file
    )  # imports come before importers: protoc orders them
    (PB / "descriptors.py").write_text(f"{MADE_BY}FILES: tuple[bytes, ...] = (\n{lines})\n")


def write_module(name: str, file) -> None:  # type: ignore[no-untyped-def]
    body = ["from wire.pb.pool import enum, message", ""]
    for proto in file.message_type:
        body += message_lines(file.package, proto)
    for proto in file.enum_type:
        body.append(f'{proto.name} = enum("{file.package}.{proto.name}")')
        body += [f"{value.name} = {value.number}" for value in proto.value]
    used = {"enum" if "= enum(" in line else "message" for line in body[2:] if "(" in line}
    body[0] = f"from wire.pb.pool import {', '.join(sorted(used))}"
    (PB / f"{name}.py").write_text(MADE_BY + "\n".join(body) + "\n")


def message_lines(package: str, proto: DescriptorProto) -> list[str]:
    return [f'{proto.name} = message("{package}.{proto.name}")']


if __name__ == "__main__":
    main()
