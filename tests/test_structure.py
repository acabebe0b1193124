"""The house in order: floors of imports, sizes, docstrings, what importing loads, paths, the README's code, docs/."""

from __future__ import annotations

import ast
import graphlib
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxrnn

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxrnn"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = sorted(module.name for module in pkgutil.walk_packages(jaxrnn.__path__, "jaxrnn."))

# The rooms from low to high: a file imports from rooms below its own, by what their __init__ offers, and from its own.
ROOMS = (
    "_core", "initializers", "cells", "wrappers", "engines", "run", "data", "train", "diagnostics", "decode", "models",
    "interop", "forecast", "_flax_face", "linen", "nnx", "testing", "cli", "__main__",
)  # fmt: skip
FLOOR = {name: height for height, name in enumerate(ROOMS)}
HEAVY = [
    "rich", "tyro", "orbax", "matplotlib", "torch", "keras", "haiku", "equinox", "flax", "tensorflow", "onnx",
    "safetensors",
]  # fmt: skip


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path):
    """Every part of jaxrnn that a file imports, also inside functions, as (line, its names after jaxrnn)."""
    inside = path.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(["jaxrnn", *inside[: len(inside) - node.level]]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            modules = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            top, *rest = module.split(".")
            if top == "jaxrnn":
                yield node.lineno, rest


def floor_faults(path: Path) -> list[str]:
    """What a file of the package imports and may not."""
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    faults = []
    for line, (there, *inner) in ((line, names or [""]) for line, names in imported(path)):
        where = f"{named(path)}:{line} imports jaxrnn.{'.'.join([there, *inner])}"
        if there not in FLOOR:
            faults.append(f"{where}: not in a room of ROOMS")
        elif there != here and FLOOR[there] >= FLOOR[here]:
            faults.append(f"{where}, which is not below jaxrnn.{here}")
        elif there not in (here, "_core") and any(name.startswith("_") for name in inner):
            faults.append(f"{where}, which is private to its room")
    return faults


def test_every_module_is_in_a_room():
    assert {name.split(".")[1] for name in MODULES} == set(ROOMS)


@pytest.mark.parametrize("path", [path for path in SOURCES if path != PACKAGE / "__init__.py"], ids=named)
def test_imports_only_from_below(path):
    assert floor_faults(path) == []


def test_no_cycle_of_imports():
    """Also within a room."""
    files = {path.relative_to(ROOT).with_suffix("").parts: path for path in SOURCES}
    graph = {}
    for name, path in files.items():
        targets = [("jaxrnn", *names) for _, names in imported(path)]
        graph[name] = {next((t[:n] for n in range(len(t), 1, -1) if t[:n] in files), t[:1]) for t in targets} - {name}
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_no_module_shares_a_public_name():
    """`jaxrnn.streaming` is the function, and no module beside it: what is named so can be found by that name."""
    modules = {name.rpartition(".")[2] for name in MODULES if not any(p.startswith("_") for p in name.split(".")[1:])}
    functions = {
        public
        for name in ["jaxrnn", *MODULES]
        for public in getattr(importlib.import_module(name), "__all__", ())
        if not isinstance(getattr(sys.modules[name], public), type(sys))
    }
    assert modules & functions == set()


def test_jax_beyond_its_stable_interface_is_in_two_files():
    words = re.compile(r"\bjax\.(core|extend|interpreters|_src|custom_vjp|custom_jvp)\b")
    found = {named(path) for path in SOURCES if words.search(path.read_text(encoding="utf-8"))}
    assert found == {"jaxrnn/_core/jax_internals.py", "jaxrnn/_core/custom_rules.py"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wrappers/_a.py", "import jaxrnn.run"),
        ("wrappers/_a.py", "import os, jaxrnn.train as train"),
        ("wrappers/_a.py", "from jaxrnn.run import unroll"),
        ("wrappers/_a.py", "from jaxrnn import cells, engines"),
        ("wrappers/_a.py", "from ..run import unroll"),
        ("wrappers/_a.py", "from .. import run"),
        ("wrappers/_a.py", "from jaxrnn.cells._gru import gru"),
        ("wrappers/_a.py", "def late():\n    from jaxrnn.models import language_model"),
        ("engines/_scan.py", "from ..run import unroll"),
        ("train/_loop.py", "import jaxrnn"),
        ("train/_loop.py", "from jaxrnn import lstm"),
        ("_core/cell.py", "from jaxrnn.cells import gru"),
    ],
)
def test_the_floors_are_watched(name, text, tmp_path, monkeypatch):
    """Each way to write an import from above, or of the whole package, is seen."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(floor_faults(tmp_path / name)) == 1


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_file_is_long(path):
    """A file of over 300 lines wants to be two."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def public_definitions(tree: ast.Module):
    """Functions, classes and methods that a reader may use, with their names."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, kinds) and not method.name.startswith("_"):
                        yield f"{node.name}.{method.name}", method


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_public_definitions_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module says nothing of itself"
    assert [name for name, node in public_definitions(tree) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("name", ["jaxrnn", *MODULES])
def test_names_in_all_exist_and_have_docstrings(name):
    """Data such as CELLS has no docstring of its own: the text of its module speaks of it."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    for public in names:
        value = getattr(module, public)
        if callable(value) or isinstance(value, type(sys)):
            assert (value.__doc__ or "").strip(), f"{name}.{public}"
        else:
            assert any(public in (importlib.import_module(m).__doc__ or "") for m in MODULES), (
                f"{name}.{public}: no module speaks of it"
            )


@pytest.mark.parametrize("name", jaxrnn.CELLS)
def test_a_cell_names_its_paper(name):
    """A year, and someone's name before it."""
    assert re.search(r"\b[A-Z][a-z]+\b.{0,80}\b(19|20)\d\d\b", jaxrnn.CELLS[name].__doc__)


def test_cells_are_listed_under_their_own_names():
    assert {name: cell.__name__ for name, cell in jaxrnn.CELLS.items()} == {name: name for name in jaxrnn.CELLS}
    sources = {path.stem.removeprefix("_"): path.read_text() for path in (PACKAGE / "cells").glob("_[a-z]*.py")}
    files = {name for name, text in sources.items() if "\n@factory" in text}  # the others hold what several share
    assert files == set(jaxrnn.CELLS), "one recurrence per file, each in CELLS"


def test_importing_jaxrnn_is_light():
    """What is only wanted by training, or is another framework, is loaded when it is used."""
    code = f"import sys, jaxrnn; print(sorted({set(HEAVY)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def project_files():
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files belong to the project is not known")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_path_of_one_machine(project_files):
    """A file that names someone's own folder works for that someone only."""
    absolute = re.compile(rb"(?<![\w.~])/(work|root|home|Users)/")
    found = []
    for path in project_files:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if absolute.search(line):
                found.append(f"{named(path)}:{number}")
    assert found == []
