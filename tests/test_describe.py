"""What `describe` says of cells, and docs/cells.md, which is written from it."""

from __future__ import annotations

import runpy

import pytest
from test_structure import ROOT

import jaxrnn

H = D = 128


def test_numbers_of_the_papers():
    """Parameters and FLOPs, counted by hand."""
    lstm = jaxrnn.describe("lstm")
    assert lstm.size == 4 * H * (D + H + 1)
    assert lstm.flops == 2 * 4 * H * (D + H)
    assert lstm.carry == {"h": "[128]", "c": "[128]"}
    assert (lstm.year, lstm.stages, lstm.element) == (1997, 1, False)
    assert lstm.equation.splitlines()[-1] == "h' = o tanh(c')"
    gru = jaxrnn.describe(jaxrnn.gru_reset_before(5), input_size=3)
    assert (gru.size, gru.flops) == (3 * 5 * (3 + 5 + 1), 2 * 3 * 5 * (3 + 5))
    assert gru.kind == "2 products in the loop, in turn"
    image = jaxrnn.describe(jaxrnn.conv_gru(3, shape=(4, 5), kernel_size=3), input_size=2)
    assert image.flops == 2 * 4 * 5 * 3 * 3 * (2 + 3) * 3 * 3  # a window at an edge counts as whole
    assert jaxrnn.describe("lru").element


def test_a_page_of_text():
    lines = str(jaxrnn.describe("indrnn")).splitlines()
    assert lines[:2] == [
        f"indrnn({H}): IndRNN, in which each unit recurs only on itself",
        "    h' = relu(x W + u h + b),    y = h'",
    ]
    assert "parameters: 16,640: bias [128], kernel [128, 128], recurrent_weight [128]" in lines
    assert "paper:      Li, Li, Cook, Zhu and Gao 2018, arXiv 1803.04831." in lines


def test_what_no_factory_made():
    inner = jaxrnn.elman(4)
    cell = jaxrnn.Cell(inner.init, inner.start, inner.input, inner.drive, inner.stages)
    assert jaxrnn.describe(cell, 3).size == 4 * (3 + 4 + 1)
    assert jaxrnn.describe(cell, 3).paper == ""
    both = jaxrnn.describe(jaxrnn.bidirectional(inner, inner), 3)
    assert (both.kind, both.flops, both.year) == ("a composition", 0, None)


@pytest.mark.parametrize(("cell", "error", "words"), [("lstn", KeyError, "lstm"), (jaxrnn.Cell, TypeError, "factory")])
def test_faults(cell, error, words):
    with pytest.raises(error, match=words):
        jaxrnn.describe(cell)


@pytest.mark.full
def test_the_page_of_all_cells():
    """docs/cells.md is what `make cells` writes, and nothing in the form of the docstrings is missing."""
    for name in jaxrnn.CELLS:
        said = jaxrnn.describe(name)
        missing = [part for part in ("title", "equation", "good_for", "paper", "year") if not getattr(said, part)]
        assert not missing, f"{name}: its docstring has no {', '.join(missing)}"
    page = runpy.run_path(str(ROOT / "docs" / "cells.py"))["page"]()
    assert (ROOT / "docs" / "cells.md").read_text(encoding="utf-8") == page, "run make cells"


def test_readme_says_how_many_cells_there_are():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"**[{len(jaxrnn.CELLS)} cells](docs/cells.md)**" in text
