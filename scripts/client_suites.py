"""The functional suites of etcd's clients, against Go's etcd 3.5.1 and against trioetcd.

    python scripts/client_suites.py                    # all, and etcdctl check perf
    python scripts/client_suites.py aetcd etcd3        # some
    python scripts/client_suites.py --keep /tmp/suites # what was fetched stays, for the next run

Fetches each suite with pip or git into a temporary directory; nothing of theirs is kept here.
Prints how many tests passed on each server, and every test that passes on etcd alone; exits with
1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.interop.etcd_process import program  # noqa: E402
from tests.interop.processes import running  # noqa: E402

REFERENCE, OURS = "etcd-3.5.1", "trioetcd"
URL = "http://127.0.0.1:2379"  # some suites insist on it
SUITE_SECONDS = 900.0
TEST_SECONDS = 60  # one of tooz's takes 31 s on every server
NPM_SOURCE = "https://github.com/microsoft/etcd3"
NPM_VERSION = "v1.1.2"

Results = dict[str, str]  # of each test: passed, failed or skipped


class Suite(NamedTuple):
    name: str
    prepare: Callable[[Path], None]
    run: Callable[[Path, str], Results]
    flags: Callable[[Path], Sequence[str]] = lambda _: ()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="suite", help=", ".join(SUITES))
    parser.add_argument("--keep", type=Path, help="directory for what is fetched")
    parser.add_argument("--etcd3-source", default=NPM_SOURCE, help="repository of npm's etcd3")
    options = parser.parse_args()
    os.environ["ETCD3_SOURCE"] = options.etcd3_source
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.keep or Path(temporary)
        regressions = [
            one
            for name in options.suites or SUITES
            for one in compare(SUITES[name], (directory / name).resolve())
        ]
    return 1 if regressions else 0


def compare(suite: Suite, directory: Path) -> list[str]:
    """Run it against both; returns what fails on ours and should not."""
    directory.mkdir(parents=True, exist_ok=True)
    suite.prepare(directory)
    found = {kind: run_against(kind, suite, directory) for kind in (REFERENCE, OURS)}
    for kind, results in found.items():
        counts = [list(results.values()).count(one) for one in ("passed", "failed", "skipped")]
        print(f"{suite.name:>12}  {kind:<11} passed {counts[0]}, failed {counts[1]},", end="")
        print(f" skipped {counts[2]}", flush=True)
    theirs_only = sorted(
        test
        for test, result in found[REFERENCE].items()
        if result == "passed" and found[OURS].get(test) != "passed"
    )
    for test in theirs_only:
        print(f"{'':>12}  FAILS: {test}", flush=True)
    return theirs_only


def run_against(kind: str, suite: Suite, directory: Path) -> Results:
    listen = [] if suite.flags(directory) else [f"--listen-client-urls={URL}"]
    advertise = [] if suite.flags(directory) else [f"--advertise-client-urls={URL}"]
    with tempfile.TemporaryDirectory() as home:
        flags = [*listen, *advertise, *suite.flags(directory)]
        with running(kind, Path(home), flags):
            return suite.run(directory, kind)


# -- Suites in Python


def run(command: Sequence[object], directory: Path, **environment: str) -> None:
    """Raises CalledProcessError, after showing what it printed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SUITE_SECONDS,
    )
    (directory / "last.log").write_text(done.stdout)
    if done.returncode:
        print(done.stdout[-5000:], file=sys.stderr)
        done.check_returncode()


def python_of(directory: Path) -> Path:
    return directory / "venv" / "bin" / "python"


def fetch_with_pip(requirement: str, *needs: str) -> Callable[[Path], None]:
    """The source distribution, with its tests, installed with what they need."""

    def prepare(directory: Path) -> None:
        if python_of(directory).exists():
            return
        run([sys.executable, "-m", "venv", directory / "venv"], directory)
        python = python_of(directory)
        run(
            [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:", requirement],
            directory,
        )
        [archive] = directory.glob("*.tar.gz")
        run(["tar", "xzf", archive], directory)
        needs_all = (archive, "pytest", "pytest-timeout", *needs)
        run([python, "-m", "pip", "install", "-q", *needs_all], directory)

    return prepare


def run_pytest(tests: str, *options: str, **environment: str) -> Callable[[Path, str], Results]:
    def suite(directory: Path, kind: str) -> Results:
        [source] = (path.parent for path in directory.glob("*/PKG-INFO"))
        report = directory / f"{kind}.xml"
        report.unlink(missing_ok=True)
        path = f"{Path(program('3.5', 'etcdctl')).parent}:{os.environ['PATH']}"
        limit = f"--timeout={TEST_SECONDS}"
        command = [python_of(directory), "-m", "pytest", "-q", tests, limit, *options]
        subprocess.run(
            [*map(str, command), f"--junitxml={report}", "-p", "no:cacheprovider"],
            cwd=source,
            env={**os.environ, "PATH": path, "ETCDCTL_API": "3", **environment},
            stdout=(directory / f"{kind}.log").open("w"),
            stderr=subprocess.STDOUT,
            timeout=SUITE_SECONDS,
        )
        return read_junit(report)

    return suite


def read_junit(report: Path) -> Results:
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        result = "failed" if kinds & {"failure", "error"} else "passed"
        name = f"{case.get('classname')}.{case.get('name')}"
        results[name] = "skipped" if "skipped" in kinds else result
    return results


# -- npm's etcd3: its tests are not in the package


def fetch_npm(directory: Path) -> None:
    if (directory / "source" / "lib" / "test").exists():
        return
    source = os.environ["ETCD3_SOURCE"]
    run(["git", "clone", "-q", source, "source"], directory)
    run(["git", "checkout", "-q", NPM_VERSION], directory / "source")
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], directory / "source")
    run(["npx", "tsc"], directory / "source")


def npm_flags(directory: Path) -> list[str]:
    """Its clients connect over TLS."""
    certificates = directory / "source" / "src" / "test" / "certs"
    url = "https://127.0.0.1:2379"
    return [
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--cert-file={certificates}/certs/etcd0.localhost.crt",
        f"--key-file={certificates}/private/etcd0.localhost.key",
    ]


def run_mocha(directory: Path, kind: str) -> Results:
    report = directory / f"{kind}.xml"
    report.unlink(missing_ok=True)
    subprocess.run(
        ["npx", "mocha", "--reporter=xunit", f"--reporter-option=output={report}"],
        cwd=directory / "source",
        env={**os.environ, "ETCD_ADDR": "127.0.0.1:2379", "ETCD_VERSION": "3.5.1"},
        stdout=(directory / f"{kind}.log").open("w"),
        stderr=subprocess.STDOUT,
        timeout=SUITE_SECONDS,
    )
    return read_junit(report)


# -- etcdctl


def check_perf(directory: Path, kind: str) -> Results:
    """PASS lines of `etcdctl check perf`: throughput, the slowest request, deviation."""
    done = subprocess.run(
        [program("3.4", "etcdctl"), f"--endpoints={URL}", "check", "perf"],
        env={**os.environ, "ETCDCTL_API": "3"},
        capture_output=True,
        text=True,
        timeout=SUITE_SECONDS,
    )
    (directory / f"{kind}.log").write_text(done.stdout + done.stderr)
    lines = re.findall(r"(PASS|FAIL)(?:: (\w+))?", done.stdout)  # after a progress bar
    print("\n".join(line for line in done.stdout.splitlines() if "PASS" in line or "FAIL" in line))
    return {what or "all": {"PASS": "passed"}.get(word, "failed") for word, what in lines}


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "aetcd",
            fetch_with_pip(
                *("aetcd==1.0.0", "pytest<8", "pytest-asyncio<0.22", "pytest-cov", "pytest-mock")
            ),
            run_pytest("tests/integration", "--asyncio-mode=auto", TEST_ETCD_HTTP_URL=URL),
        ),
        Suite(
            "etcd3",
            fetch_with_pip(
                *("etcd3==0.12.0", "hypothesis<5.41", "mock", "six", "tenacity<7"),
                *("protobuf<4", "setuptools<81"),
            ),
            run_pytest(
                "tests",
                PYTHON_ETCD_HTTP_URL=URL,
                TEST_ETCD_VERSION="v3.5.1",
                PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python",
            ),
        ),
        Suite(
            "etcd3gw",
            fetch_with_pip("etcd3gw==2.7.0", "urllib3", "testtools", "oslotest"),
            run_pytest("etcd3gw/tests", TOOZ_TEST_HTTP_URL=URL),
        ),
        Suite(
            "tooz",
            fetch_with_pip(  # its tests import every driver
                *("tooz==9.1.0", "etcd3gw==2.7.0", "sysv_ipc", "pymemcache", "redis", "kazoo"),
                *("pymysql", "psycopg2-binary", "ddt", "fixtures", "testtools"),
            ),
            run_pytest(
                "tooz/tests/test_coordination.py",
                TOOZ_TEST_URL="etcd3+http://127.0.0.1:2379?api_version=v3",
            ),
        ),
        Suite("npm-etcd3", fetch_npm, run_mocha, npm_flags),
        Suite("check-perf", lambda _: None, check_perf),
    )
}

if __name__ == "__main__":
    sys.exit(main())
