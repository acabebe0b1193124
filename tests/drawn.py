"""A call of `jaxrnn.unroll` as one plain value, and how hypothesis draws one: all that a property is asked of."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from support import VARIANTS
from trees import BARE, MERGES, y_size

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
VALUES = ("called", "jit", "jit of remat", "jit of vmap", "windows")
# `called` is slow, for nothing of it is in one program; so it is drawn seldom.
DERIVATIVES = ("grad", "value_and_grad", "vjp", "jvp", "jacfwd", "linearize", "grad of remat", "grad of windows",
               "grad of vmap", "vmap of grad", "scan of grad")  # fmt: skip
MEMBERS = ("jit of vmap", "grad of vmap", "vmap of grad", "scan of grad")  # of several sequences of their own
KINKED = {"relu", "hard_sigmoid"}


@dataclasses.dataclass(frozen=True)
class Case:
    """Prints as the call that makes it."""

    tree: tuple  # see trees.py
    how: str = "jit"
    T: int = 3
    batch: tuple[int, ...] = (2,)
    D: int = 2
    engine: tuple = ()  # its name and its option
    carry: bool = True  # given, or None
    lengths: str | None = None  # who holds them, and their type: "numpy int8", "jax uint64", "list int"
    mask: str | None = None
    reset: str | None = None
    traced: bool = True  # whether these are arguments of the program
    reverse: bool = False
    param_dtype: str = "float32"
    dtype: str | None = None
    xs: str = "float32"
    x64: bool = True
    axes: tuple = (None, None, 0, None, 0)  # of params, carry, xs, all rows in the arguments, and the result
    seed: int = 0


def sizes(draw: Any) -> int:
    return draw(st.sampled_from((1, 2, 2, 3, 4)))


@st.composite
def cells(draw: Any, names: tuple[str, ...] = tuple(VARIANTS)) -> tuple:
    return ("cell", draw(st.sampled_from(names)), sizes(draw))


def smooth(tree: tuple) -> bool:
    """Whether its derivative is continuous."""
    kind, *parts = tree
    if kind == "cell":
        factory, options = VARIANTS[parts[0]]
        return not (KINKED & set(options.values()) or "cell_clip" in options or (factory == "indrnn" and not options))
    return kind != "clip_carry" and all(smooth(part) for part in parts if isinstance(part, tuple))


def same_size(tree: tuple, D: int) -> tuple:
    return tree if y_size(tree, D) == D else ("projection", tree, D)


@st.composite
def trees(draw: Any, D: int, depth: int) -> tuple:
    """One to depth + 1 levels."""
    if depth == 0:
        return draw(cells())
    kind = draw(st.sampled_from((*BARE, "bottleneck", "clip_carry", "highway", "learned_carry", "projection",
                                 "residual", "weight_norm", "zoneout", "stack", "stack", "stack_skip", "bidirectional",
                                 "bidirectional", "deep_transition", "fast_slow", "emit_carry")))  # fmt: skip
    if kind == "deep_transition":
        one = draw(cells())
        return (kind, one, one)
    if kind == "fast_slow":
        one = draw(cells())
        return (kind, one, one, draw(cells()))
    if kind == "emit_carry":
        return (kind, draw(cells()))
    if kind == "bottleneck":
        size = sizes(draw)
        return (kind, draw(trees(size, depth - 1).filter(one_array)), size)
    inner = draw(trees(D, depth - 1).filter(one_array))
    if kind == "bidirectional":
        other = draw(cells())
        merge = draw(st.sampled_from(tuple(MERGES)))
        if merge != "concat" and y_size(inner, D) != y_size(other, D):
            other = ("projection", other, y_size(inner, D))
        return (kind, merge, *draw(st.permutations((inner, other))))
    if kind == "stack":
        below = draw(st.sampled_from(((), (("time_distributed",),))))
        return (kind, *below, inner, draw(cells()))
    if kind == "stack_skip":
        return (kind, inner, draw(cells()))
    if kind == "projection":
        return (kind, inner, sizes(draw))
    return (kind, same_size(inner, D) if kind in ("residual", "highway") else inner)


def one_array(tree: tuple) -> bool:
    """Whether y is."""
    return "emit_carry" not in str(tree)


def both_ways(tree: tuple) -> bool:
    return "bidirectional" in str(tree)


@st.composite
def cases(draw: Any) -> Case:
    """Of up to three wrappers, with the options that all have; of size 0 now and then, and then refused."""
    how = draw(st.sampled_from((*VALUES[:1], *VALUES[1:] * 3, *DERIVATIVES)))
    T = draw(st.sampled_from((2, 4, 6, 12) if "windows" in how else (0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 11, 13)))
    batches = [(), (1,), (2,), (3,), (2, 2), (2, 1), (1, 3), (1, 1, 2, 1)]
    batch = draw(st.sampled_from(batches * 3 + [(0,), (2, 0, 1)]))
    D = draw(st.sampled_from((1, 2, 2, 3, 3, 4, 4, 4) * 3 + (0,)))
    x64 = draw(st.sampled_from((True, True, False)))
    floats = ("float32",) * 4 + ("bfloat16",) + ("float64",) * (3 if x64 else 0)
    param_dtype, dtype, xs = draw(st.sampled_from(floats)), None, draw(st.sampled_from((*floats, "float64")))
    tree = draw(trees(max(D, 1), draw(st.sampled_from((0, 1, 1, 2, 2, 3)))))
    tree = draw(st.sampled_from((tree,) * 29 + (("cell", "lstm", 0),)))
    flags = [None, "numpy bool", "jax bool", "list bool", "list int"]
    rows = {name: draw(st.sampled_from(flags) | st.sampled_from([f"numpy {t}" for t in INTEGERS])) for name in
            ("mask", "reset")}  # fmt: skip
    who = st.sampled_from([f"{who} {t}" for who in ("numpy", "jax") for t in INTEGERS] + ["list int"])
    rows["lengths"] = draw(st.none() | who)
    mixed = draw(st.sampled_from((None, None, None, "dtype", "dtype", "precision")))
    outermost = draw(st.sampled_from((None,) * 12 + ("with_reset", "with_mask")))
    if mixed == "dtype":
        dtype = draw(st.sampled_from(floats))
    elif mixed == "precision" and one_array(tree):  # the carries that are emitted have another type than the carry
        carry_dtype = draw(st.none() | st.sampled_from(floats))
        tree = ("precision", tree, draw(st.sampled_from(floats)), param_dtype, carry_dtype)
    if outermost and not both_ways(tree):
        tree = (outermost, tree)
    narrow = "bfloat16" in str((tree, param_dtype, dtype))
    if how in DERIVATIVES and narrow and not smooth(tree):
        how = "jit"  # rounding decides on which side of a kink it is
    option = draw(st.integers(1, max(1, T)))
    engine = draw(
        st.sampled_from(
            (
                (),
                ("deferred", option),
                ("deferred", option),
                ("checkpointed", option),
                ("checkpointed", None),
                ("scan", option),
                ("own",),
            )
        )
    )
    axes = (*draw(st.tuples(*[st.sampled_from((None, 0, -1))] * 2)), draw(st.sampled_from((0, 1, -1))),
            draw(st.sampled_from((None, 0, -1))), draw(st.sampled_from((0, 1, -1))))  # fmt: skip
    return Case(
        tree, how, T, batch, D, engine, draw(st.booleans()), **rows, traced=draw(st.booleans()),
        reverse=draw(st.booleans()), param_dtype=param_dtype, dtype=dtype, xs=xs, x64=x64, axes=axes,
        seed=draw(st.integers(0, 999)),
    )  # fmt: skip


AT_ONCE = 10  # from its 11th example on hypothesis mostly varies those before

# Without a database, and without a search for smaller failures, which ends a run at the first: property.py has one.
drawing = settings(max_examples=AT_ONCE, database=None, deadline=None, phases=[Phase.generate],
                   suppress_health_check=list(HealthCheck))  # fmt: skip


def drawn(number: int, count: int) -> list[Case]:
    """So many cases, the same for the same number. Hypothesis' first example, where all is simplest, is left out."""
    found: dict[Case, None] = {}
    for i in itertools.count():
        if len(found) >= count:
            return list(found)[:count]
        found.update(dict.fromkeys(_some(number * 1_000_003 + i)[1:]))
    raise AssertionError("not reached")


def _some(number: int) -> list[Case]:
    some: list[Case] = []

    @seed(number)
    @drawing
    @given(cases())
    def keep(case):
        some.append(case)

    keep()
    return some
