"""Formulas as MathML, which browsers draw by themselves: no script, no font, and readable aloud."""

from __future__ import annotations

from docutils import nodes
from latex2mathml.converter import convert


def visit_math(translator, node):
    """A formula in a line."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(translator, node):
    """A formula by itself, which scrolls by itself where it is too wide."""
    translator.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app):
    """Beside Sphinx's own renderers, by name."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
