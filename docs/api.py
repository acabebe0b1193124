"""The pages of the API: what they list, and how a docstring and a reference become a page's.

Everything is read from the library: a module's `__all__`, or where it has none what it defines. A thing that has
several public names is described under the first one, in the order of `PAGES`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path

import docstrings
import records

import jaxrnn
from jaxrnn import cells, wrappers

FOLDER = Path(__file__).parent / "api"

# A page each: the module, and what it is called in the list of pages.
PAGES = {
    "jaxrnn": "Cells over time",
    "jaxrnn.cells": "Cells",
    "jaxrnn.wrappers": "Wrappers",
    "jaxrnn.engines": "Engines",
    "jaxrnn.models": "Models",
    "jaxrnn.decode": "Decoding",
    "jaxrnn.train": "Training",
    "jaxrnn.constraints": "Constraints",
    "jaxrnn.regularizers": "Regularizers",
    "jaxrnn.loss_scale": "Loss scaling",
    "jaxrnn.data": "Data",
    "jaxrnn.ragged": "Ragged batches",
    "jaxrnn.forecast": "Forecasting",
    "jaxrnn.forecast.baselines": "Forecasts without a network",
    "jaxrnn.forecast.scores": "Scores of forecasts",
    "jaxrnn.forecast.figures": "Figures of forecasts",
    "jaxrnn.diagnostics": "Diagnostics",
    "jaxrnn.interop": "Weights and models in and out",
    "jaxrnn.initializers": "Initializers",
    "jaxrnn.nnx": "In flax.nnx",
    "jaxrnn.linen": "In flax.linen",
    "jaxrnn.taps": "Taps",
    "jaxrnn.testing": "Testing",
    "jaxrnn.run": "Results of what runs cells",
}


def module(name: str) -> types.ModuleType:
    """A module by its public name, which may be that of an attribute."""
    return (
        functools.reduce(getattr, name.split(".")[1:], jaxrnn)
        if name != "jaxrnn.run"
        else importlib.import_module(name)
    )


def listed(name: str) -> list[str]:
    """The public names of a module that are no modules."""
    there = module(name)
    names = getattr(there, "__all__", None)
    if names is None:
        names = [n for n, v in vars(there).items() if n[0] != "_" and getattr(v, "__module__", None) == there.__name__]
    return [n for n in names if not isinstance(getattr(there, n), types.ModuleType)]


@functools.cache
def described() -> dict[str, list[tuple[str, object]]]:
    """For each page the full names on it, in order, with what they name. Cells and wrappers are names of jaxrnn."""
    pages, seen = {}, set()
    elsewhere = {*cells.__all__, *wrappers.__all__}
    for page in PAGES:
        names = [n for n in listed(page) if page != "jaxrnn" or n not in elsewhere]
        prefix = "jaxrnn" if page in ("jaxrnn.cells", "jaxrnn.wrappers") else page
        pages[page] = [(f"{prefix}.{n}", v) for n in names if id(v := getattr(module(page), n)) not in seen]
        seen |= {id(v) for _, v in pages[page]}
    return pages


@functools.cache
def names() -> dict[int, str]:
    """The name under which a thing is described, by its id."""
    return {id(value): name for page in described().values() for name, value in page}


def found(text: str) -> object | None:
    """What a dotted name of this library leads to, public or not."""
    parts = text.split(".")
    for k in range(len(parts), 0, -1):
        try:
            return functools.reduce(getattr, parts[k:], importlib.import_module(".".join(parts[:k])))
        except (ImportError, AttributeError):
            continue
    return None


def target(text: str, around: str) -> str | None:
    """The full name of what is said as `unroll`, `train.fit`, `lstm(64)` or `State.step` in module `around`."""
    text = re.sub(r"\(.*\)$", "", text)
    if not re.fullmatch(r"[A-Za-z_][\w.]*", text):
        return None
    for full in (f"{around}.{text}", f"jaxrnn.{text}", text if text.startswith("jaxrnn.") else ""):
        value = found(full) if full else None
        if value is None:
            continue
        if id(value) in names():
            return names()[id(value)]
        owner = found(full.rpartition(".")[0])
        member = full.rpartition(".")[2]
        if isinstance(owner, type) and id(owner) in names() and member in records.members(owner):
            return f"{names()[id(owner)]}.{member}"
        if isinstance(value, types.ModuleType) and full in PAGES:
            return full
    return None


def write() -> None:
    """All pages, each only where its text has changed, so that Sphinx reads no page anew in vain."""
    FOLDER.mkdir(exist_ok=True)
    pages = {f"{name}.rst": "\n".join([*page(name), ""]) for name in PAGES}
    pages["index.rst"] = "\n".join(index())
    for path in FOLDER.glob("*.rst"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def index() -> Iterator[str]:
    """The list of pages, with the first sentence of each module."""
    yield from ["API", "===", "", "Every public name, by module. What a docstring writes as [T, ..., D] is a shape:"]
    yield from ["T time, B batch, D input features, H hidden units, G gates, V vocabulary.", ""]
    for name, title in PAGES.items():
        about = (module(name).__doc__ or "").split("\n\n")[0]
        first = docstrings.convert(about, (), functools.partial(target, around=name))
        yield from [f":doc:`{title} <{name}>`, ``{name}``", f"    {first[0]}", ""]
    yield from [".. toctree::", "    :hidden:", "", *(f"    {title} <{name}>" for name, title in PAGES.items()), ""]


def page(name: str) -> Iterator[str]:
    """One module."""
    yield from [PAGES[name], "=" * len(PAGES[name]), "", f".. py:module:: {name}", ""]
    if name != "jaxrnn":
        yield from [f".. automodule:: {name}", "    :no-index:", ""]
    things = dict(described()[name])
    if name == "jaxrnn.cells":
        for family, makes in cells.FAMILIES.items():
            title = f"{family[0].upper()}{family[1:]}"
            yield from [title, "-" * len(title), ""]
            for make in makes:
                full = names()[id(make)]
                yield from directive(full, things.pop(full))
        yield from ["Their carries, and all by name", "------------------------------", ""]
    for full, value in things.items():
        yield from directive(full, value)
    others = [n for n in listed(name) if names()[id(getattr(module(name), n))] not in dict(described()[name])]
    if others and name != "jaxrnn":
        links = (f":py:obj:`{n} <{names()[id(getattr(module(name), n))]}>`" for n in others)
        yield from ["Also by this name: " + ", ".join(links) + ".", ""]


def directive(full: str, value: object) -> Iterator[str]:
    """What autodoc is to make of a name."""
    if isinstance(value, type):
        yield from [f".. autoclass:: {full}", ""]
        for member in records.members(value):
            kind = "property" if isinstance(inspect.getattr_static(value, member), property) else "method"
            yield from [f"    .. auto{kind}:: {full}.{member}", ""]
    elif callable(value):
        yield from [f".. autofunction:: {full}", ""]
    else:
        module, _, name = full.rpartition(".")
        yield from [f".. py:data:: {name}", f"    :module: {module}", "", f"    {records.about(value)}", ""]


def docstring(app, what, name, value, options, lines) -> None:
    """`autodoc-process-docstring`: in place of the lines, what is made of them."""
    around = name if what == "module" else name.rpartition(".")[0]
    arguments = records.arguments(value)

    def link(text):
        return None if re.match(r"\w*", text)[0] in arguments else target(text, around)

    lines[:] = docstrings.convert("\n".join(lines), arguments, link)
    if isinstance(value, type):
        lines += records.fields(value, link)


def signature(app, what, name, value, options, text, returns):
    """`autodoc-process-signature`: none of a class that a function makes; a default without a name is no Python."""
    made = isinstance(value, type) and (
        "which makes it" in (value.__doc__ or "") or "(_" in (text or "") or ", _" in (text or "")
    )
    return ("", "") if made else (text and re.sub(r"<function [^ ]*?(?:<lambda>)?>|<[^<>]*>", "...", text), returns)


def roles(app, page, template, context, doctree) -> None:
    """`html-page-context`: arguments below one another are no list of terms, though Sphinx writes them as <dl>."""
    if page.startswith("docs/api/"):
        heads = re.compile(r"<dt class=\"sig.*?</dt>", re.S)
        context["body"] = heads.sub(
            lambda head: re.sub("<(dl|dd)>", r'<\1 role="presentation">', head[0]), context["body"]
        )


def setup(app):
    """Sphinx's hooks."""
    app.connect("builder-inited", lambda app: write())
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    app.connect("html-page-context", roles)
