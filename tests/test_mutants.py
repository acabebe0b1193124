"""The seeded faults of mutants.py still fit the package; whether tests catch them, `python tests/mutants.py` tells."""

from __future__ import annotations

import ast

import mutants
import pytest


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_mutant_applies(name):
    """Its text is there exactly once, it changes the program, and what comes out is Python."""
    mutant = mutants.MUTANTS[name]
    before = ast.dump(ast.parse((mutants.ROOT / "jaxrnn" / mutant.file).read_text(encoding="utf-8")))
    assert ast.dump(ast.parse(mutants.fault(mutant))) != before
    assert (mutants.ROOT / mutant.tests.split()[0]).is_file()
