"""The demo within the site: `docs/demo.py` writes it beside the pages, and docs/demo.md gets links to it."""

from __future__ import annotations

from pathlib import Path

from sphinx.util import logging

LINKS = """
<p class="doors"><a href="../demo/index.html">Write</a> <a href="../demo/forecast.html">Forecast</a></p>
"""
WITHOUT = """
These pages were built without the demo: `npm install --prefix docs` brings the runtime that it takes.
"""


def build(app) -> None:
    """Before the pages, which say whether it is there. Without packages from npm there is none, and no error."""
    import demo

    try:
        demo.build(Path(app.outdir) / "demo")
    except (FileNotFoundError, ImportError) as error:
        logging.getLogger(__name__).info("no demo: %s", error)


def source_read(app, docname, content) -> None:
    """The last lines of docs/demo.md."""
    if docname == "docs/demo":
        content[0] += LINKS if (Path(app.outdir) / "demo/index.html").exists() else WITHOUT


def setup(app):
    """Sphinx's hooks. docs/demo.md is read each time, for its links are not in it."""
    if (Path(__file__).parent / "demo.py").exists():
        app.connect("builder-inited", build)
    app.connect("env-get-outdated", lambda app, env, added, changed, removed: ["docs/demo"])
    app.connect("source-read", source_read)
