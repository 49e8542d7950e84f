"""A look into the data directory."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from trioetcd.cli.data_dir import BadDataDir, look_around
from trioetcd.cli.logs import LineLog


def test_what_does_not_belong_there_is_named(tmp_path: Path):
    for name in ("member", "fixtures", "notes.txt", "lost+found"):
        (tmp_path / name).mkdir()
    out = io.StringIO()
    look_around(tmp_path, LineLog([out]))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["level"], line["filename"]) for line in lines] == [
        ("warn", "lost+found"),
        ("warn", "notes.txt"),
    ]
    assert lines[0]["msg"] == "found invalid file under data directory"
    assert lines[0]["data-dir"] == str(tmp_path)


def test_what_is_not_there_yet_is_fine(tmp_path: Path):
    look_around(tmp_path / "new" / "one", LineLog([]))


@pytest.mark.parametrize("inside", ["", "below"])
def test_a_file_is_no_directory(tmp_path: Path, inside: str):
    (tmp_path / "file").write_text("x")
    directory = tmp_path / "file" / inside
    with pytest.raises(BadDataDir) as caught:
        look_around(directory, LineLog([]))
    assert str(caught.value) == f"failed to list data directory: open {directory}: not a directory"
