"""What a backward pass must keep of the forward one: the cheapest set of values that the rest can be computed from."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from typing import Any

from jaxrnn.engines._deferred.program import Equation, variables

START, END = "start", "end"


def cheapest(
    equations: Iterable[Equation], sources: Iterable[int], needed: Iterable[int], cost: Callable[[int], float]
) -> set[int]:
    """The variables of least total cost that separate the sources from all that is needed.

    sources: the inputs of the equations; keeping one has its cost too. needed: what the equations must be able to
    compute from the set. Only keeping has a cost, not recomputing. Of several such sets it is the one nearest to
    `needed`, so that least is recomputed. A minimum cut (Ford and Fulkerson 1956; breadth first, Edmonds and Karp 1972)
    of the graph in which each variable is an edge.
    """
    capacity: dict[Any, dict[Any, float]] = collections.defaultdict(dict)

    def edge(a, b, c):
        capacity[a][b] = c
        capacity[b].setdefault(a, 0)

    known: set[int] = set()

    def variable(v):
        if v not in known:  # only this edge can be cut, which means keeping the variable
            known.add(v)
            edge((v, "in"), (v, "out"), cost(v))

    for v in sources:
        variable(v)
        edge(START, (v, "in"), float("inf"))
    for e in equations:
        for v in (*variables(e.inputs), *e.outputs):
            variable(v)
        for a in variables(e.inputs):
            for b in e.outputs:
                edge((a, "out"), (b, "in"), float("inf"))
    for v in needed:
        variable(v)
        edge((v, "out"), END, float("inf"))

    while True:  # fill the shortest path that has capacity left, until there is none
        came = _search(START, lambda a: (b for b, c in capacity[a].items() if c > 0))
        if END not in came:
            break
        path: list[Any] = [END]
        while path[-1] != START:
            path.append(came[path[-1]])
        steps = list(zip(path[1:], path[:-1], strict=True))
        flow = min(capacity[a][b] for a, b in steps)
        for a, b in steps:
            capacity[a][b] -= flow
            capacity[b][a] += flow
    # From the other end: nodes that can still reach END lie beyond the last minimum cut.
    into: dict[Any, list[Any]] = collections.defaultdict(list)
    for a, edges in capacity.items():
        for b, c in edges.items():
            if c > 0:
                into[b].append(a)
    beyond = _search(END, lambda b: into[b])
    return {v for v in known if (v, "out") in beyond and (v, "in") not in beyond}


def _search(start, neighbours):
    """Every node that can be reached, with the node it was first reached from."""
    came, queue = {start: None}, collections.deque([start])
    while queue:
        a = queue.popleft()
        for b in neighbours(a):
            if b not in came:
                came[b] = a
                queue.append(b)
    return came
