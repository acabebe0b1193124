"""The README's code runs as a reader would paste it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("float32_only")
def test_readme_code_runs(tmp_path, monkeypatch):
    """The text itself, block after block in one scope, as a reader would paste it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.S | re.M))
    assert blocks, "README.md has no ```python block"
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "readme"}
    for block in blocks:
        above = "\n" * text.count("\n", 0, block.start(1))  # so that a traceback has the README's own line
        exec(compile(above + block[1], str(ROOT / "README.md"), "exec"), scope)
