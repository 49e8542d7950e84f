"""Every block of Python in the documents is run, and what it prints is what the page says."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing

import trioetcd
from tests.architecture.source import ROOT

_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\s*^```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
_CHAPTER = re.compile(r"^## ", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    code: str
    output: str | None  # None: the page does not say
    line: int


def blocks(path: Path) -> Iterator[list[Block]]:
    """Chapter by chapter."""
    text = path.read_text()
    starts = [0, *(found.start() for found in _CHAPTER.finditer(text)), len(text)]
    for start, end in itertools.pairwise(starts):
        yield [
            Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)
            for found in _BLOCK.finditer(text, start, end)
        ]


TUTORIAL = ROOT / "docs" / "tutorial.md"
CHAPTERS = [chapter for chapter in blocks(TUTORIAL) if chapter]


def test_the_pages_have_blocks_with_outputs():
    found = [block for chapter in CHAPTERS for block in chapter]
    assert len(found) >= 19
    assert all(block.output is not None for block in found)


async def run(block: Block, names: dict[str, object], path: Path) -> None:
    """As if it stood in an async function; raises what it raises."""
    code = compile(
        "\n" * block.line + block.code,
        str(path),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        outcome = eval(code, names)  # what it is for
        if inspect.iscoroutine(outcome):
            with trio.fail_after(30):
                await outcome
    if block.output is not None:
        assert printed.getvalue() == block.output, f"{path.name}, line {block.line}"


def test_the_first_program_stands_by_itself():
    [first] = CHAPTERS[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(first.code, str(TUTORIAL), "exec"), {"__name__": "__main__"})
    assert printed.getvalue() == first.output


@pytest.mark.parametrize("chapter", CHAPTERS[1:], ids=lambda chapter: f"line {chapter[0].line}")
async def test_each_chapter_prints_what_it_says(chapter: list[Block], tmp_path: Path):
    from trioetcd.client import key, put

    async with trioetcd.open_node() as node, node.client() as client:
        names: dict[str, object] = {
            **{"trio": trio, "trioetcd": trioetcd, "client": client, "node": node},
            **{"folder": tmp_path, "key": key, "put": put},
        }
        for block in chapter:
            await run(block, names, TUTORIAL)


async def test_the_readmes_programs_run():
    """The first one watches for ever: it is left once it has nothing more to do."""
    first, second = [block for chapter in blocks(ROOT / "README.md") for block in chapter]
    async with trioetcd.open_node(listen=["http://127.0.0.1:0"]) as node:
        code = first.code.replace("http://127.0.0.1:2379", node.client_urls[0])
        names: dict[str, object] = {"trioetcd": trioetcd}
        exec(code.replace("trio.run(main)\n", ""), names)
        main = names["main"]
        assert callable(main)
        async with node.client() as client, trio.open_nursery() as nursery:
            async with client.watch("greeting") as batches:
                nursery.start_soon(main)
                with trio.fail_after(20):
                    assert (await anext(batches)).events[0].value == b"hello"
            nursery.cancel_scope.cancel()
        exec(second.code, names)
        with trio.fail_after(20):
            await names["main"]()  # type: ignore[operator]


def test_the_pages_of_tests_are_tests(pytester: pytest.Pytester):
    """docs/testing.md, by pytest itself; but for the one that needs another client."""
    [page] = [chapter for chapter in blocks(ROOT / "docs" / "testing.md") if chapter]
    code = "import trio\n\n" + "\n".join(block.code for block in page)
    code = re.sub(r"def test_with_any_client.*?\.\.\.\n", "", code, flags=re.DOTALL)
    pytester.makeini("[pytest]\ntrio_mode = true\n")
    pytester.makepyfile(code)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=3)
