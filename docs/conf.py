"""How Sphinx makes the site: `make docs`, into docs/_build/html.

The source folder is the repository itself, so that a link from a page to a notebook or to a table of benchmarks is the
same here as where the code is hosted. Nothing is fetched, neither while this builds nor while a page is read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import api  # noqa: E402 - the folder is on the path from here on
import in_browser  # noqa: E402
import links  # noqa: E402
import mathematics  # noqa: E402
import pictures  # noqa: E402

import jaxrnn  # noqa: E402

project = "jaxrnn"
author = "The jaxrnn authors"
copyright = author
version = release = jaxrnn.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "docs/**.rst",
    "experiments/README.md",
    "experiments/notebooks/*.ipynb",
    "benchmarks/README.md",
    "benchmarks/results/*.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = ["docs/_build", "docs/node_modules", ".*", "runs", "jaxrnn", "tests", "**/README.rst"]

# Every reference must lead somewhere. `links.missing` finds public names, and lets those of other libraries be: their
# inventories are on the network.
nitpicky = True

highlight_language = "text"  # a block says what it is; others are equations and shells
nb_execution_mode = "off"  # the notebooks hold their outputs, and tests run them
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["config.cache"]  # a function in this file is no reason to write the whole site again

html_theme = "furo"
html_title = "jaxrnn"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_additional_pages = {"index": "redirect.html"}
html_math_renderer = "mathml"
html_domain_indices = False
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
add_module_names = False
toc_object_entries_show_parents = "hide"


def setup(app):
    """The hooks, each in a file of its own."""
    in_browser.setup(app)
    links.setup(app)
    mathematics.setup(app)
    pictures.setup(app)
    api.setup(app)
