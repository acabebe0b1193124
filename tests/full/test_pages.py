"""What README and the pages of docs/ show is what a reader gets: their code, what it prints, links, names, numbers."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").glob("*.md"))]
for folder in "howto", "coming_from":
    PAGES += sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs" / folder).glob("*.md"))
TEXT = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
WITH_CODE = [page for page in PAGES if "```python\n" in TEXT[page]]

# A block of Python and, where a block marked `text` follows at once, what it prints; `...` stands for anything.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.S | re.M)
NEEDS = re.compile(r"<!-- needs: (.*?) -->")  # packages that a page runs beside the library's own
ROOMS = [
    "data",
    "decode",
    "diagnostics",
    "engines",
    "forecast",
    "initializers",
    "interop",
    "models",
    "ragged",
    "testing",
    "train",
]
PRINTED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.usefixtures("float32_only")
@pytest.mark.every_row
@pytest.mark.parametrize("page", WITH_CODE)
def test_code_runs(page, tmp_path, monkeypatch):
    """The text itself, block after block in one scope, as a reader would paste it."""
    text = TEXT[page]
    if needs := NEEDS.search(text):
        for package in needs[1].split(", "):
            pytest.importorskip(package, reason=f"{page} shows {package}")
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where pickle looks for what the page defines
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        code = compile("\n" * line + block[1], str(ROOT / page), "exec")  # so that a traceback has the page's own line
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, module.__dict__)
        if block[2] is not None and not doctest.OutputChecker().check_output(block[2], printed.getvalue(), PRINTED):
            pytest.fail(f"{page}:{line}: the page has\n{block[2]}\nand this is printed:\n{printed.getvalue()}")


@pytest.mark.parametrize("folder", ["howto", "coming_from"])
def test_an_index_lists_its_folder(folder):
    index = TEXT[f"docs/{folder}/index.md"]
    pages = {p.name for p in (ROOT / "docs" / folder).glob("*.md")} - {"index.md"}
    assert set(re.findall(r"\]\((\w+\.md)\)", index)) == pages


def test_links_lead_somewhere():
    """Those to files of this repository, and to headings in them."""
    broken = []
    for page, text in TEXT.items():
        for target in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)):
            if re.match(r"\w+:", target):
                continue
            path, _, anchor = target.partition("#")
            path = (ROOT / page).parent / path if path else ROOT / page
            if not path.exists() or (anchor and anchor not in _anchors(path)):
                broken.append(f"{page}: {target}")
    assert broken == []


def _anchors(path):
    """The headings of a page as a code host and Sphinx name them in addresses."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def test_names_exist():
    """Names of the library in backquotes: `jaxrnn.unroll`, `train.learn`, `ragged.pack(...)`."""
    room = "|".join(ROOMS)
    missing = []
    for page, text in TEXT.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
        for name in re.findall(rf"`((?:jaxrnn|{room})(?:\.[A-Za-z_]\w*)+)[`(\[]", prose):
            found = importlib.import_module("jaxrnn")
            for part in name.removeprefix("jaxrnn.").split("."):
                if not hasattr(found, part):
                    try:
                        importlib.import_module(f"{found.__name__}.{part}")
                    except (ImportError, AttributeError):
                        missing.append(f"{page}: {name}")
                        break
                found = getattr(found, part)
    assert missing == []


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
