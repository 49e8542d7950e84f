"""Five seams: time, network, disk, threads and chance are passed in, and named nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, imports, sources, tree_of

# A module that is a seam, or the outermost edge, and what for.
ALLOWED: dict[str, dict[str, str]] = {
    "socket": {
        "wire/network.py": "the network seam",
        "wire/names.py": "the network seam: a host's address",
        "trioetcd/cli/systemd.py": "sd_notify is a datagram",
    },
    "ssl": {
        "wire/tls.py": "contexts are made of files here",
        "wire/tls_peers.py": "the handshake's errors, and the peer's certificate",
        "wire/tls_suites.py": "the names of cipher suites",
    },
    "files": {
        "wire/tls.py": "certificates",
        "wire/tls_self_signed.py": "certificates made on the spot",
        "wire/network.py": "unlinks a stale Unix socket",
        "actors/wal/disk.py": "the disk seam",
        "actors/backend/lmdb_engine.py": "the backend's disk seam",
        "trioetcd/metrics/process.py": "/proc, which is no disk",
        "trioetcd/client/snapshot.py": "a snapshot that the program wants in a file",
        "trioetcd/cli/logs.py": "log files",
        "trioetcd/config/tokens.py": "keys of tokens",
        "trioetcd/util/commands/certs.py": "certificates",
        "trioetcd/ctl/commands/transfer.py": "a file of keys that is read",
        "trioetcd/cli/rotation.py": "log files that are put aside",
        "trioetcd/cli/serve.py": "the configuration file",
    },
    "threads": {
        "actors/kernel/worker.py": "the one door to threads",
        "actors/kernel/sampler.py": "looks at threads, on one of them",
        "trioetcd/client/snapshot.py": "waits for the disk beside the program's loop",
        "trioetcd/cli/logs.py": "a log file is compressed beside the server",
        "trioetcd/testing/server.py": "a server beside a program that is not async",
        "trioetcd/ctl/commands/watch.py": "reads what is typed while watches go on",
    },
    "clock": {
        "actors/kernel/sampler.py": "a profile is of real time",
        "trioetcd/node/node.py": "hands the wall clock in",
        "trioetcd/node/serving.py": "the validity of certificates made on the spot",
        "trioetcd/cli/logs.py": "a line's time",
        "trioetcd/util/commands/certs.py": "certificates are valid from now on",
        "trioetcd/util/certificates.py": "the type of a time handed in",
        "trioetcd/ctl/diagnosis.py": "the type of a time handed in",
        "trioetcd/ctl/moments.py": "words for a time, and back",
        "trioetcd/ctl/commands/doctor.py": "certificates end at some time from now",
        "trioetcd/api/slow.py": "words for a time handed in",
        "trioetcd/audit/audit.py": "words for a time handed in",
        "trioetcd/cli/rotation.py": "the type of a time handed in",
        "wire/tls_self_signed.py": "the type of a time handed in",
    },
    "chance": {
        "trioetcd/node/node.py": "hands a generator in",
        "trioetcd/cli/serve.py": "hands a generator in",
        "trioetcd/client/client.py": "hands a generator in",
        "trioetcd/testing/cluster.py": "makes all generators from the seed",
    },
}
MODULES = {
    "socket": {"socket", "trio.socket", "select"},
    "ssl": {"ssl"},
    "threads": {
        "threading",
        "queue",
        "concurrent",
        "multiprocessing",
        "subprocess",
        "trio.to_thread",
        "trio.from_thread",
    },
    "clock": {"time", "datetime"},
    "chance": {"secrets", "uuid"},
}
# Calls and attributes that reach through a seam without importing its module by that name.
ATTRIBUTES = {
    "socket": {"trio.socket", "trio.open_tcp_stream", "trio.open_tcp_listeners", "trio.serve_tcp"},
    "threads": {"trio.to_thread", "trio.from_thread"},
    "clock": {"time.time", "time.monotonic", "time.perf_counter", "datetime.now"},
    "chance": {"random.random", "random.choice", "os.urandom", "random.Random", "random.randrange"},
    "files": {
        "os.open",
        "os.stat",
        "os.unlink",
        "os.rename",
        "os.replace",
        "os.makedirs",
        "os.listdir",
        "io.open",
    },
}
FILE_METHODS = {"read_text", "write_text", "read_bytes", "write_bytes"}  # of pathlib.Path


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def annotations(tree: ast.Module) -> set[int]:
    """Nodes that stand in annotations: naming `random.Random` as a type draws nothing."""
    roots: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) or (
            isinstance(node, ast.arg) and node.annotation is not None
        ):
            roots.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            roots.append(node.returns)
    return {id(inner) for root in roots for inner in ast.walk(root)}


def reached_by(path: Path) -> set[str]:
    """The seams a file reaches through."""
    tree = tree_of(ROOT / path)
    imported = set(imports(path))
    found = {
        seam
        for seam, modules in MODULES.items()
        if any(name in modules or name.split(".")[0] in modules for name in imported)
    }
    passive = annotations(tree)
    for node in ast.walk(tree):
        if id(node) in passive:
            continue
        if isinstance(node, ast.Attribute):
            name = dotted(node)
            found |= {seam for seam, names in ATTRIBUTES.items() if name in names}
            if node.attr in FILE_METHODS:
                found.add("files")
        elif isinstance(node, ast.Call) and dotted(node.func) == "open":
            found.add("files")
    return found


@pytest.mark.parametrize("seam", sorted(ALLOWED))
def test_a_seam_is_crossed_only_where_it_is(seam: str):
    crossing = {
        str(path) for path in sources("wire", "actors", "trioetcd") if seam in reached_by(path)
    }
    assert crossing <= set(ALLOWED[seam]), crossing - set(ALLOWED[seam])


def test_every_exception_is_still_needed():
    stale = {
        (seam, name)
        for seam, rows in ALLOWED.items()
        for name in rows
        if not (ROOT / name).exists() or seam not in reached_by(Path(name))
    }
    assert stale == set()


def test_the_scan_sees_what_it_is_for(tmp_path: Path):
    sample = tmp_path / "sample.py"
    sample.write_text(
        "import random\nimport trio\n"
        "def f(rng: random.Random) -> None: ...\n"
        "async def g():\n    open('x')\n    await trio.to_thread.run_sync(f)\n"
    )
    assert reached_by(sample) == {"files", "threads"}
