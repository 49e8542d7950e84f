"""What `ctl` has beyond etcdctl: history, diff, export, import, get --at, actors, top, doctor."""

from __future__ import annotations

import json

import pytest
import trio

from tests.client.conftest import open_server
from tests.ctl.terminal import Terminal, open_terminal
from trioetcd.client import put
from trioetcd.ctl.json_lines import Head, Item, Unreadable, read, tail
from wire.pb import etcdserverpb as pb


@pytest.fixture
async def terminal():
    async with open_terminal() as opened:
        yield opened


async def say(terminal: Terminal, *words: str, **how) -> str:
    done = await terminal.run(*words, **how)
    assert done.status == 0, done
    return done.out


async def fill(terminal: Terminal) -> None:
    """Revisions 2 to 9."""
    for words in (
        *(["put", "a", "one"], ["put", "a", "two"], ["put", "b", "x"], ["del", "a"]),
        *(["put", "a", "three\nlines\nhere"], ["put", "c/1", "y"], ["del", "b"]),
        *(["put", "a", "three\nother\nhere"],),
    ):
        await say(terminal, *words)


# -- history and diff


async def test_every_version_of_a_key_is_shown(terminal):
    await fill(terminal)
    rows = [line.split() for line in (await say(terminal, "history", "a")).splitlines()]
    assert [row[0] for row in rows] == ["2", "3", "5", "6", "9"]
    assert rows[2][1] == "deleted"
    assert rows[3][1:3] == ["version", "1"]
    shown = json.loads(await say(terminal, "history", "b", "-w", "json"))
    assert [(one["revision"], one["type"]) for one in shown] == [(4, "PUT"), (8, "DELETE")]
    assert await say(terminal, "history", "nothing") == ""
    limited = await say(terminal, "history", "a", "--limit", "2")
    assert [line.split()[0] for line in limited.splitlines()] == ["6", "9"]
    bounded = await say(terminal, "history", "a", "--from-rev", "3", "--to-rev", "6")
    assert [line.split()[0] for line in bounded.splitlines()] == ["3", "5", "6"]


async def test_history_begins_where_it_was_compacted(terminal):
    await fill(terminal)
    await say(terminal, "compaction", "4")
    rows = [line.split()[0] for line in (await say(terminal, "history", "a")).splitlines()]
    assert rows == ["3", "5", "6", "9"]


async def test_what_differs_between_revisions_is_shown(terminal):
    await fill(terminal)
    assert await say(terminal, "diff", "", "4", "4") == ""
    shown = await say(terminal, "diff", "", "6", "0")
    assert shown == ("~ a\n   three\n  -lines\n  +other\n   here\n- b\n  - x\n+ c/1\n  + y\n")
    done = await terminal.run("diff", "", "6", "0", "--exit-code")
    assert (done.status, done.err) == (1, "")
    rows = (await say(terminal, "diff", "c/", "6", "7", "-w", "json")).splitlines()
    assert json.loads(rows[0])["type"] == "added"
    assert (
        "required revision is a future revision" in (await terminal.run("diff", "", "1", "99")).err
    )
    assert (await terminal.run("diff", "a")).status == 128


async def test_large_ranges_differ_in_pages(terminal):
    async with terminal.client() as client:
        for first in range(0, 1200, 100):
            done = await client.txn(
                then=[put(f"k{number:04d}", "v") for number in range(first, first + 100)]
            )
    await say(terminal, "put", "k0777", "changed")
    await say(terminal, "del", "k1100")
    shown = await say(terminal, "diff", "k", str(done.revision), "0")
    assert shown == "~ k0777\n  -v\n  +changed\n- k1100\n  - v\n"


# -- export and import


async def test_what_was_exported_can_be_imported_and_followed(terminal, tmp_path):
    await fill(terminal)
    lease = (await say(terminal, "lease", "grant", "500")).split()[1]
    await say(terminal, "put", "leased", "z", f"--lease={lease}")
    await say(terminal, "put", "raw", stdin=b"\xff\x00")
    first = tmp_path / "first"
    first.write_text(await say(terminal, "export"))
    head = json.loads(first.read_text().splitlines()[0])
    assert head == {
        **{"format": "trioetcd-export", "version": 1, "prefix": "", "revision": 11, "since": 0}
    }
    await say(terminal, "del", "c/1")
    await say(terminal, "put", "a", "newest")
    second = tmp_path / "second"
    done = await terminal.run("export", "--since", "11")
    second.write_text(done.out)
    assert "2 keys at revision 13; next: --since 13" in done.err
    async with open_terminal() as other:
        assert "import the files in their order" in (await other.run("import", str(second))).err
        assert "is whole: 4 keys" in await say(other, "import", str(first), "--dry-run")
        assert await say(other, "get", "", "--prefix", "--keys-only") == ""
        for _ in range(2):  # again changes nothing
            assert "4 keys imported" in await say(other, "import", str(first))
            assert "2 keys imported" in await say(other, "import", str(second))
        assert await say(other, "get", "a", "--print-value-only") == "newest\n"
        assert await say(other, "get", "c/1") == ""
        assert f"lease {lease} granted" in await say(other, "lease", "timetolive", lease)
        kept = json.loads(await say(other, "get", "raw", "-w", "json"))
        assert kept["kvs"][0]["value"] == "/wA="
        assert kept["kvs"][0]["version"] == 1


async def test_a_file_that_is_not_whole_changes_nothing(terminal, tmp_path):
    await fill(terminal)
    lines = (await say(terminal, "export")).splitlines(keepends=True)
    path = tmp_path / "file"
    for text, words in (
        ("".join(lines[:-1]), "line 4: the end is missing"),
        ("".join(lines[1:]), "line 1: not a file"),
        ("".join([*lines[:2], lines[-1]]), "line 3: 1 lines before it, not 2"),
        ("".join([*lines, lines[1]]), "line 5: something comes after the end"),
        (lines[0] + "{nonsense\n", "line 2: no JSON"),
        (lines[0] + '{"key":"a"}\n', "line 2: mod_revision is no number"),
        ("", "line 1: the end is missing"),
    ):
        path.write_text(text)
        async with open_terminal() as other:
            done = await other.run("import", str(path))
            assert done.status == 1
            assert words in done.err, (words, done.err)
            assert await say(other, "get", "", "--prefix") == ""
    assert "no such file" in (await terminal.run("import", str(tmp_path / "none"))).err


async def test_changes_that_are_compacted_are_refused(terminal):
    await fill(terminal)
    await say(terminal, "compaction", "6")
    assert "export everything again" in (await terminal.run("export", "--since", "3")).err
    assert "is later than revision" in (await terminal.run("export", "--since", "99")).err


@pytest.mark.parametrize("garbage", [b"[]", b"\xff", b'{"end":true,"count":0}', b"{}" * 3])
def test_no_line_is_a_failure_of_ours(garbage):
    with pytest.raises(Unreadable):
        list(read(iter([Head(b"", 1).line().encode(), garbage + b"\n", garbage])))


def test_lines_are_read_as_they_were_written():
    items = [
        Item(b"a\xff", b"\x00\xfe", 3, 2, 2, -5 & (1 << 63) - 1, 9),
        Item("ключ".encode(), None, 7),
    ]
    text = [Head(b"p\xff", 9, 2).line(), *(one.line() for one in items), tail(2)]
    head, *found = read(iter(line.encode() for line in text))
    assert head == Head(b"p\xff", 9, 2)
    assert found == items


# -- get --at


async def test_a_key_is_shown_as_it_was_some_time_ago(terminal, autojump_clock):
    await say(terminal, "put", "a", "old")
    await trio.sleep(600)
    await say(terminal, "put", "a", "new")
    assert await say(terminal, "get", "a", "--at", "2") == "a\nold\n"
    for moment, words in (
        ("3m-ago", "not known before"),
        ("nonsense", "--at takes a revision"),
        ("2026-01-02T03:04:05", "a time needs its zone"),
        ("2001-01-02T03:04:05Z", "not known before"),
    ):
        assert words in (await terminal.run("get", "a", "--at", moment)).err, moment
    now = await terminal.run("get", "a", "--at", "0s-ago")
    assert now.out == "a\nnew\n"
    assert "the store was at revision 3" in now.err
    assert (await terminal.run("get", "a", "--at", "2", "--rev", "2")).status == 128


# -- actors, top, doctor


async def test_the_live_tree_is_shown(terminal):
    shown = await say(terminal, "actors")
    assert shown.startswith("member  running\n")
    assert "└─ raft" in shown or "├─ raft" in shown
    tree = json.loads(await say(terminal, "actors", "-w", "json"))
    assert tree["name"] == "member"


async def test_members_are_shown_with_their_rates(terminal, autojump_clock):
    await fill(terminal)
    shown = json.loads(await say(terminal, "top", "--once", "-w", "json"))
    [member] = shown["members"]
    assert (member["role"], member["version"], member["behind"]) == ("leader", "3.6.0", 0)
    assert member["p99"]["fsync"] >= 0
    plain = await say(terminal, "top", "--once")
    assert "1 of 1 members answer" in plain
    assert "\x1b" not in plain


async def test_a_healthy_cluster_gets_a_clean_bill(terminal):
    done = await terminal.run("doctor")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("1 of 1 members answer\n")
    assert "critical" not in done.out
    async with open_terminal(is_terminal=True) as coloured:
        assert "\x1b[32mnothing is wrong" in (await coloured.run("doctor")).out
        assert "\x1b" not in (await coloured.run("doctor", NO_COLOR="1")).out


async def test_a_full_database_is_found_and_mended_as_it_says(terminal):
    await say(terminal, "put", "a", "x")
    assert await say(terminal, "alarm", "list") == ""
    async with terminal.client() as client:
        request = pb.AlarmRequest(action=1, memberID=7, alarm=1)
        await client.call(
            "/etcdserverpb.Maintenance/Alarm", request, pb.AlarmResponse, is_write=True
        )
    done = await terminal.run("doctor", "-w", "json")
    assert done.status == 2
    [finding] = json.loads(done.out)
    assert finding["severity"] == "critical"
    assert [step.split("#")[0].strip() for step in finding["mend"]] == [
        *("trioetcd ctl compaction REVISION", "trioetcd ctl defrag --cluster"),
        "trioetcd ctl alarm disarm",
    ]
    await say(terminal, "alarm", "disarm")
    assert (await terminal.run("doctor")).status == 0


async def test_who_does_not_answer_is_named(terminal, autojump_clock):
    done = await terminal.run("--endpoints", "http://127.0.0.1:1", "doctor", "-w", "json")
    assert done.status == 2
    assert "does not answer" in json.loads(done.out)[0]["what"]


# -- On Go's etcd


def test_real_servers(tmp_path):
    """Apart from the clock that jumps."""
    for kind in ("trioetcd", "3.4", "3.5"):
        trio.run(_on, kind, tmp_path / kind)


async def _on(kind: str, folder) -> None:
    folder.mkdir()
    async with open_server(kind, folder) as url:
        real = Terminal(None)

        async def ask(*words: str) -> str:
            done = await real.run("--endpoints", url, *words)
            assert done.status == 0, (kind, words, done)
            return done.out

        for words in (["put", "a", "1"], ["put", "a", "2"], ["del", "a"], ["put", "b", "3"]):
            await ask(*words)
        rows = [line.split()[0] for line in (await ask("history", "a")).splitlines()]
        assert rows == ["2", "3", "4"], kind
        assert await ask("diff", "", "3", "5") == "- a\n  - 2\n+ b\n  + 3\n"
        exported = await ask("export")
        path = folder / "export"
        path.write_text(exported)
        async with open_terminal() as other:
            assert "1 keys imported" in await say(other, "import", str(path))
            assert await say(other, "get", "b") == "b\n3\n"
            path.write_text(await say(other, "export"))
        assert "1 keys imported" in await ask("import", str(path))
        assert await ask("get", "a", "--at", "3") == "a\n2\n"
        shown = json.loads(await ask("top", "--once", "-w", "json"))
        assert shown["members"][0]["role"] == "leader"
        assert (await real.run("--endpoints", url, "doctor")).status in (0, 1)
        tree = await real.run("--endpoints", url, "actors")
        late = await real.run("--endpoints", url, "get", "b", "--at", "0s-ago")
        if kind == "trioetcd":
            assert tree.out.startswith("member  running")
            assert late.out == "b\n3\n"
        else:
            assert "it is not trioetcd" in tree.err
            assert "it is not trioetcd" in late.err
