"""The wheel, installed into an empty environment: what it needs, how fast it loads, that it works.

    python scripts/check_wheel.py

Builds it, installs it with pip, and uses it from a directory that is not this one.  Prints figures
and exits with 1 if one is past its limit.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.interop.etcd_process import free_port  # noqa: E402

MOST_DEPENDENCIES = 15
LIMITS_MS = {"trioetcd.client": 150, "trioetcd.node.node": 400}
ROUNDS = 7  # the fastest counts: others may be at work on the machine
TIMED = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
SECONDS = 60.0


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        wheel = build(home)
        failures = check_contents(wheel)
        venv.create(home / "venv", with_pip=True)
        python = home / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "-q", wheel, home=home)
        failures += check_imports(python, home)
        check_programs(python.parent / "trioetcd", home)
    for failure in failures:
        print(f"FAILS: {failure}")
    return 1 if failures else 0


def run(*command: object, home: Path) -> str:
    """Raises CalledProcessError."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ETCD"))}
    done = subprocess.run(
        list(map(str, command)),
        cwd=home,
        env=kept,
        stdout=subprocess.PIPE,
        text=True,
        timeout=10 * SECONDS,
        check=True,
    )
    return done.stdout


def build(home: Path) -> Path:
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", home, ROOT, home=home)
    [wheel] = home.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        fields = message_from_bytes(archive.read(metadata))
    needs = [need for need in fields.get_all("Requires-Dist", []) if "extra ==" not in need]
    print(f"{len(needs)} direct dependencies (at most {MOST_DEPENDENCIES})")
    print(f"{len(names)} files, {wheel.stat().st_size // 1024} KiB")
    failures = []
    if len(needs) > MOST_DEPENDENCIES:
        failures.append(f"{len(needs)} dependencies: {needs}")
    if not all(f"{package}/py.typed" in names for package in ("wire", "actors", "trioetcd")):
        failures.append("py.typed is missing")
    if any(re.match(r"(tests|scripts|docs|examples)/", name) for name in names):
        failures.append("the wheel has what is not for users")
    return failures


def check_imports(python: Path, home: Path) -> list[str]:
    failures = []
    for module, most in LIMITS_MS.items():
        command = (python, "-c", TIMED.format(module))
        best = min(float(run(*command, home=home)) for _ in range(ROUNDS)) * 1000
        print(f"import {module}: {best:.0f} ms (less than {most})")
        if best >= most:
            failures.append(f"import {module} takes {best:.0f} ms")
    return failures


def check_programs(trioetcd: Path, home: Path) -> None:
    """A member, the prompt and the tools.  Raises if one does not do what it should."""
    url, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    server = subprocess.Popen(
        [
            *(trioetcd, "serve", "--data-dir", home / "data"),
            *("--listen-client-urls", url, "--advertise-client-urls", url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ],
        cwd=home,
        stderr=subprocess.DEVNULL,
    )
    try:
        ctl = (trioetcd, "ctl", "--endpoints", url)
        assert run(*ctl, "put", "greeting", "hello", home=home) == "OK\n"
        assert run(*ctl, "get", "greeting", home=home) == "greeting\nhello\n"
        assert "trioetcd util" in run(trioetcd, "util", "--help", home=home)
        print("trioetcd serve, ctl and util work")
    finally:
        server.terminate()
        server.wait(SECONDS)


if __name__ == "__main__":
    sys.exit(main())
