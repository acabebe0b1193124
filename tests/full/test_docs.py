"""The site that `make docs` builds, as a reader meets it: links, images, names, widths, what a screen reader is told.

It is built once, into a folder of this run. Pages are read by Python's own HTML parser, and shown by the system's
Chromium, where there is one.
"""

from __future__ import annotations

import importlib
import json
import re
import runpy
import shutil
import statistics
import subprocess
import sys
import types
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import jaxrnn

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
AXE = DOCS / "node_modules/axe-core/axe.min.js"
KINDS = (  # of pages: one of each is shown
    "docs/index.html",
    "docs/howto/ragged.html",
    "docs/coming_from/pytorch.html",
    "docs/api/jaxrnn.decode.html",
    "docs/cells.html",
    "benchmarks/results/peers.html",
    "experiments/notebooks/3_gates.html",
    "docs/gallery.html",
    "docs/demo.html",
)
LARGE = "docs/cells.html", "experiments/notebooks/3_gates.html"  # on which axe takes half a minute each
# What reaches beyond the right edge and is not within a box that scrolls by itself.
WIDE = """[...document.querySelectorAll("article *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1
    && !e.closest("pre, .table-wrapper, .formula")).map(e => e.outerHTML.slice(0, 90))"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


class Page(HTMLParser):
    """What a page has: ids, links, images, and what it loads."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.within, self.images, self.loaded, self.articles = set(), [], [], [], [], 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        of = dict(attrs)
        self.articles += tag == "article"
        if "id" in of:
            self.ids.add(of["id"])
        if tag == "a" and of.get("href"):
            self.links.append(of["href"])
            if self.articles:
                self.within.append(of["href"])
        if tag == "img":
            self.images.append((of.get("src", ""), of.get("alt", "")))
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed") and of.get("src"):
            self.loaded.append(of["src"])
        if tag == "link" and of.get("rel") not in ("index", "search", "next", "prev"):
            self.loaded.append(of.get("href", ""))

    def handle_endtag(self, tag):
        self.articles -= tag == "article"


def built(folder: Path) -> dict[str, Page]:
    """Build the site; its pages by their paths. A warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    command += ["-c", str(DOCS), "-d", str(folder / "doctrees"), str(ROOT), str(folder / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    html = folder / "html"
    return {str(path.relative_to(html)): Page(path) for path in html.rglob("*.html") if "_static" not in path.parts}


def test_the_site(tmp_path, subtests):
    """One build, many looks at it."""
    for package in "sphinx", "myst_nb", "furo", "latex2mathml", "sphinx_copybutton":
        pytest.importorskip(package, reason=f"the site is built with {package}: pip install 'jaxrnn[docs]'")
    pages, html = built(tmp_path), tmp_path / "html"
    for check in links, images, network, names, clicks, redirect:
        with subtests.test(check.__name__):
            assert list(check(html, pages)) == []
    with subtests.test("shown"):
        assert list(shown(html)) == []


def links(html: Path, pages: dict[str, Page]) -> Iterator[str]:
    """Those that lead to no file or to no anchor in it. Addresses elsewhere are counted only: nothing is fetched."""
    elsewhere = set()
    for name, page in pages.items():
        for href in page.links:
            path, _, anchor = unquote(href).partition("#")
            path = path.partition("?")[0]
            if re.match(r"[a-z]+:", href):
                elsewhere.add(href)
                continue
            file = (html / name).parent.joinpath(path).resolve() if path else html / name
            if not file.is_file() or (
                anchor and (of := pages.get(str(file.relative_to(html.resolve())))) and anchor not in of.ids
            ):
                yield f"{name}: {href}"
    print(f"{len(elsewhere)} links lead elsewhere")


def images(html: Path, pages: dict[str, Page]) -> Iterator[str]:
    """Images that are not there, or say nothing to who does not see them."""
    for name, page in pages.items():
        for source, alt in page.images:
            if not (html / name).parent.joinpath(unquote(source)).is_file():
                yield f"{name}: {source} is not there"
            if len(alt.split()) < 3:
                yield f"{name}: {source} has no text in its place but {alt!r}"


def network(html: Path, pages: dict[str, Page]) -> Iterator[str]:
    """What a page, or a style sheet, would fetch from elsewhere."""
    for name, page in pages.items():
        yield from (f"{name}: {source}" for source in page.loaded if re.match(r"(https?:)?//", source))
    for sheet in html.rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.S)
        found = re.findall(r"@import[^;]*|url\(\s*['\"]?(?:https?:)?//[^)]*", text)
        yield from (f"{sheet.name}: {what}" for what in found)


def public(name: str) -> Iterator[tuple[str, object]]:
    """Every public name of a module and of those in its `__all__`, with what it names."""
    module = importlib.import_module(name)
    here = [n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "") == name]
    for n in getattr(module, "__all__", here):
        value = getattr(module, n)
        if isinstance(value, types.ModuleType):
            yield from public(value.__name__)
        else:
            yield f"{name}.{n}", value


def names(html: Path, pages: dict[str, Page]) -> Iterator[str]:
    """Public names without a description. A thing with several needs one, under any of them."""
    ids = set().union(*(page.ids for name, page in pages.items() if name.startswith("docs/api/")))
    lazy = [f"jaxrnn.{name}" for name in ("forecast", "linen", "nnx", "testing", "run")]
    every = {full: value for module in ("jaxrnn", *lazy) for full, value in public(module)}
    assert len(every) > 350
    described = {id(every[name]) for name in ids & every.keys()}
    for alias in ("constraints", "loss_scale", "ragged", "regularizers", "taps"):
        there = getattr(jaxrnn, alias)
        described |= {id(value) for n, value in vars(there).items() if f"jaxrnn.{alias}.{n}" in ids}
    yield from (name for name, value in every.items() if id(value) not in described)


def clicks(html: Path, pages: dict[str, Page]) -> Iterator[str]:
    """Pages that tell how, and are more than two clicks from the start page, menus not counted."""
    near = {"docs/index.html"}
    for _ in range(2):
        for name in list(near):
            to = (
                (html / name).parent.joinpath(unquote(href).partition("#")[0]).resolve() for href in pages[name].within
            )
            inside = (str(path.relative_to(html.resolve())) for path in to if path.is_relative_to(html.resolve()))
            near |= {path for path in inside if path in pages}
    yield from (name for name in pages if re.match(r"docs/(howto|coming_from)/", name) and name not in near)


def redirect(html: Path, pages: dict[str, Page]) -> Iterator[str]:
    """The folder's own index leads to the start page."""
    if "url=docs/index.html" not in (html / "index.html").read_text(encoding="utf-8"):
        yield "index.html"


def shown(html: Path) -> Iterator[str]:
    """What is wrong in Chromium, from file://: errors, pages wider than a telephone, findings of axe, a dead search."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are shown by playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: pages are not shown")
    small = [name for name in KINDS if name not in LARGE]
    axed = {(1280, "light"): small, (390, "dark"): small[:2]}
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
        for width, scheme in (1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            said = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            for name in KINDS if (width, scheme) in axed else KINDS[:5]:
                page.goto((html / name).as_uri())
                if wide := page.evaluate(WIDE):
                    yield f"{name}: wider than the {width} pixels that are seen: {wide[:3]}"
                if AXE.exists() and name in axed.get((width, scheme), ()):
                    page.add_script_tag(path=AXE)
                    for found in page.evaluate("axe.run({preload: false})")["violations"]:
                        if found["impact"] in ("serious", "critical"):
                            yield f"{name}, {scheme}: {found['id']}: {found['nodes'][0]['html'][:200]}"
                if said:
                    yield f"{name}: {said}"
                    said.clear()
            context.close()
        page = browser.new_page()
        page.goto((html / "search.html").as_uri() + "?q=truncated_bptt")
        try:
            page.wait_for_selector("#search-results li a", timeout=20_000)
        except playwright.TimeoutError:
            yield "search finds nothing"
        browser.close()
    if not AXE.exists():
        pytest.skip("no axe-core: npm install --prefix docs brings it; all else was looked at")


def test_every_cell_has_its_figure():
    there = {path.stem: path.stat().st_size for path in (DOCS / "responses").glob("*.svg")}
    assert there.keys() == jaxrnn.CELLS.keys(), "run make cells"
    assert sum(there.values()) < 1.5e6


@pytest.mark.usefixtures("float32_only")
def test_a_figure_is_what_its_script_draws():
    """Of one cell, for all take a minute. Lines are compared as numbers: another JAX rounds otherwise."""
    pytest.importorskip("matplotlib", reason="figures are drawn with matplotlib")
    lines = r'<path d="(M[^"]{400,})"'
    drawn, kept = runpy.run_path(str(DOCS / "responses.py"))["svg"]("gru"), (DOCS / "responses/gru.svg").read_text()
    pairs = list(zip(re.findall(lines, drawn), re.findall(lines, kept), strict=True))
    assert len(pairs) == 6  # four units, the derivative and that of elman
    for a, b in pairs:
        assert [float(n) for n in re.findall(r"[\d.]+", a)] == pytest.approx(
            [float(n) for n in re.findall(r"[\d.]+", b)], abs=2
        )


def test_the_gallery_is_what_its_records_say():
    gallery = runpy.run_path(str(DOCS / "gallery.py"))
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == gallery["page"]()
    here = {path.stem for path in (ROOT / "experiments").glob("*.py") if "program.run(" in path.read_text("utf-8")}
    assert {shown.name for shown in gallery["SHOWN"]} == here - {"sample"}
    pictures = list((DOCS / "gallery").iterdir())
    assert {path.stem for path in pictures} <= here
    assert sum(path.stat().st_size for path in pictures) < 2e6


def test_the_first_figure_has_the_numbers_of_the_tables():
    rows = [json.loads(row) for row in (ROOT / "benchmarks/results/peers.jsonl").read_text("utf-8").splitlines()]
    svg = (DOCS / "overview.svg").read_text(encoding="utf-8")
    for cell in "elman", "gru", "lstm":
        of = [row for row in rows if row["cell"] == cell and row["what"] == "gradient"]
        jax_peers = [
            min(r[f"{peer} ms"] for peer in ("linen", "nnx", "haiku", "equinox", "keras") if f"{peer} ms" in r)
            for r in of
        ]
        for times in jax_peers, [r["torch ms"] for r in of]:
            ratio = statistics.geometric_mean(t / r["jaxrnn ms"] for t, r in zip(times, of, strict=True))
            assert f">{ratio:.2f}<" in svg, f"{cell}: python docs/overview.py draws it anew"
