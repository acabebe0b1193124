"""The minimum cut beside the best of all subsets of small random graphs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from jaxrnn.engines._deferred import minimum_cut
from jaxrnn.engines._deferred.program import Equation


def brute_force(equations, sources, needed, cost):
    """The least cost of a set from which all that is needed follows, by trying every set."""
    everything = sorted({v for e in equations for v in (*e.inputs, *e.outputs)} | set(sources) | set(needed))
    best = math.inf
    sets = (itertools.combinations(everything, n) for n in range(len(everything) + 1))
    for kept in itertools.chain.from_iterable(sets):
        total = sum(map(cost, kept))
        if total < best and follows(equations, kept, needed):
            best = total
    return best


def follows(equations, kept, needed):
    known = set(kept)
    for e in equations:
        if known.issuperset(e.inputs):
            known.update(e.outputs)
    return known.issuperset(needed)


@pytest.mark.parametrize("seed", range(40))
def test_cheapest(seed):
    """As cheap as the best of all sets that everything follows from, each path cut; and it is such a set.

    Equations of one output: keeping one of two outputs says nothing of the other, but a cut takes them one by one.
    """
    rng = np.random.default_rng(seed)
    sources = list(range(rng.integers(1, 4)))
    equations = []
    for v in range(len(sources), len(sources) + rng.integers(2, 7)):
        inputs = rng.choice(v, size=min(v, rng.integers(1, 3)), replace=False)
        equations.append(Equation(None, {}, tuple(map(int, inputs)), (v,)))
    last = len(sources) + len(equations)
    needed = sorted({int(v) for v in rng.choice(last, size=3)})
    costs = rng.integers(1, 9, last)
    kept = minimum_cut.cheapest(equations, sources, needed, lambda v: int(costs[v]))
    assert follows(equations, kept, needed)
    assert sum(int(costs[v]) for v in kept) == brute_force(equations, sources, needed, lambda v: int(costs[v]))


def test_cheapest_is_nearest():
    """Of sets that cost the same, the last: least is computed again."""
    chain = [Equation(None, {}, (v,), (v + 1,)) for v in range(4)]
    assert minimum_cut.cheapest(chain, [0], [4], lambda v: 3) == {4}
    assert minimum_cut.cheapest(chain, [0], [4], lambda v: 3 if v != 1 else 2) == {1}
    assert minimum_cut.cheapest(chain, [0], [0, 2, 4], lambda v: 1) == {0}
