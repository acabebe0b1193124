"""Files that are whole or not there."""

from __future__ import annotations

import os

import pytest

from jaxrnn._core.files import replace, replacing


def test_a_file_is_replaced_and_as_open_as_any_other(tmp_path):
    (tmp_path / "plain").write_text("")
    for text in ("first", "zweiter →"):
        replace(tmp_path / "file", text)
        assert (tmp_path / "file").read_text(encoding="utf-8") == text
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["file", "plain"]


def test_what_fails_leaves_what_was_there(tmp_path):
    replace(tmp_path / "file", "before")

    def interrupted():
        with replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "file").read_text() == "before" and os.listdir(tmp_path) == ["file"]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "outside").write_text("not mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").symlink_to(tmp_path / "outside")
    replace(tmp_path / "run" / "file", "mine")
    assert (tmp_path / "outside").read_text() == "not mine"
    assert not (tmp_path / "run" / "file").is_symlink() and (tmp_path / "run" / "file").read_text() == "mine"
