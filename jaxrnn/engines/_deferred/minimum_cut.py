"""What a backward pass must keep of the forward one: the cheapest set of values from which the rest is rebuilt."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from typing import Any

from jaxrnn.engines._deferred.program import Equation, variables

START, END = "start", "end"


def cheapest(
    equations: Iterable[Equation], sources: Iterable[int], needed: Iterable[int], cost: Callable[[int], float]
) -> set[int]:
    """The variables of least total cost that stand between the sources and all that is needed.

    sources: where the equations start; to keep one has its cost too. needed: what must follow from the set by the
    equations. What it takes to compute an equation again is not weighed, only what is kept. Of several such sets the
    one nearest to what is needed, so that least is computed again. A minimum cut (Ford and Fulkerson 1956; by breadth
    first, Edmonds and Karp 1972) of the graph in which each variable is an edge.
    """
    capacity: dict[Any, dict[Any, float]] = collections.defaultdict(dict)

    def edge(a, b, c):
        capacity[a][b] = c
        capacity[b].setdefault(a, 0)

    known: set[int] = set()

    def variable(v):
        if v not in known:  # one edge alone can be cut, and cutting it is to keep the variable
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

    while True:  # fill the shortest path that has room, until there is none
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
    # From the other end: what can still send something to END lies beyond the last of the cuts.
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
