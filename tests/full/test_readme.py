"""What README and docs show is what a reader gets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("float32_only")
@pytest.mark.parametrize("page", ["README.md", "docs/time.md"])
def test_code_runs(page, tmp_path, monkeypatch):
    """The text itself, block after block in one scope, as a reader would paste it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.S | re.M))
    assert blocks, f"{page} has no ```python block"
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "readme"}
    for block in blocks:
        above = "\n" * text.count("\n", 0, block.start(1))  # so that a traceback has the page's own line
        exec(compile(above + block[1], str(ROOT / page), "exec"), scope)


def test_the_page_on_the_deferred_engine_quotes_its_script():
    """Else a change of the engine leaves old numbers there. Equations are counted as one version of JAX makes them."""
    page = (ROOT / "docs/deferred.md").read_text(encoding="utf-8")
    written_with = re.search(r"jax (\d+\.\d+\.\d+)", page)[1]
    if jax.__version__ != written_with:
        pytest.skip(f"the page has the numbers of jax {written_with}")
    quoted = "".join(re.findall(r"^```text\n(.*?)^```", page, re.S | re.M)).splitlines()
    command = [sys.executable, ROOT / "docs/deferred.py"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout.splitlines()
    assert quoted
    assert [line for line in quoted if line not in printed] == []
