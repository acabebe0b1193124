"""What the plots of the diagnostics draw: the numbers they were given, with labels, on the axes they were given."""

from __future__ import annotations

import sys

import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import diagnostics

pytest.importorskip("matplotlib", reason='the extra "train" is not installed')

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture
def ax():
    """Axes on paper that is thrown away."""
    yield plt.subplots()[1]
    plt.close("all")


def lines(ax):
    """What is drawn, by its label."""
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in ax.lines}


def finished(ax, given, *words):
    """The axes are those given, and say what stands on them."""
    assert ax is given
    said = f"{ax.get_title(loc='left')} {ax.get_xlabel()} {ax.get_ylabel()}"
    assert ax.get_xlabel() and ax.get_ylabel() and ax.get_title(loc="left")
    assert all(word in said for word in words), said
    ax.figure.canvas.draw()  # what cannot be laid out or written raises here


def test_gradient_norms_are_drawn_by_their_medians(ax, rng):
    """Of three rows one is 0 early: a line has no point where the median is 0, and no other goes with it."""
    norms = {"a": np.abs(rng.standard_normal((6, 3))), "b": np.abs(rng.standard_normal(6))}
    norms["a"][:2, 0] = norms["a"][0, 1] = 0
    drawn = diagnostics.plot_gradient_norms(norms, distance=True, ax=ax)
    finished(drawn, ax, "distance", "(steps)", "norm")
    expected = np.median(norms["a"], 1)
    expected[0] = np.nan
    np.testing.assert_array_equal(lines(ax)["a"], expected)
    np.testing.assert_array_equal(lines(ax)["b"], norms["b"])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(6)[::-1])
    assert ax.get_yscale() == "log"


def test_gradient_norms_of_a_stack_and_of_a_single_cell_have_no_line_twice(ax):
    one = np.ones((4, 2))
    norms = {"layer_0": {"h": one, "c": 2 * one, "carry": 3 * one}, "layer_1": {"h": one, "carry": one}}
    diagnostics.plot_gradient_norms(norms, ax=ax)
    assert {k: v[0] for k, v in lines(ax).items()} == {"layer_0": 3, "layer_1": 1}
    plt.close("all")
    assert set(lines(diagnostics.plot_gradient_norms({"h": one, "carry": one}))) == {"h"}


def test_jacobians_are_drawn(ax, rng):
    singular = np.sort(rng.uniform(0.1, 2, (5, 2, 4)))[..., ::-1]
    finished(diagnostics.plot_singular_values(singular, ax=ax), ax, "singular value", "(steps)", "N = 4")
    np.testing.assert_array_equal(lines(ax)["largest"], np.median(singular[..., 0], 1))
    np.testing.assert_array_equal(lines(ax)["smallest"], np.median(singular[..., -1], 1))


def test_eigenvalues_are_drawn_beside_the_unit_circle(ax, rng):
    values = rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))
    finished(diagnostics.plot_eigenvalues(values, label="GRU", ax=ax), ax, "real part", "imaginary part")
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_array_equal(points, np.stack([values.real.ravel(), values.imag.ravel()], -1))
    np.testing.assert_allclose(np.linalg.norm(ax.lines[0].get_xydata(), axis=1), 1, rtol=1e-15)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["GRU"]


def test_jacobian_norms_are_drawn_by_distance(ax):
    """Those of 0.5^(t - s), for every s: a line of them."""
    s, t = np.indices((6, 6))
    norms = np.where(s <= t, 0.5 ** (1.0 * (t - s)), 0)[..., None]
    finished(diagnostics.plot_jacobian_norms(norms, label="half", ax=ax), ax, "t - s (steps)")
    np.testing.assert_array_equal(lines(ax)["half"], 0.5 ** np.arange(6))


def test_lyapunov_exponents_are_drawn(ax, rng):
    exponents = np.sort(rng.standard_normal((3, 5)))[:, ::-1]
    found = diagnostics.LyapunovExponents(exponents, exponents[None])
    finished(diagnostics.plot_lyapunov_exponents({"a": found, "b": exponents[0]}, ax=ax), ax, "nats per step")
    drawn = {k.split(":")[0]: v for k, v in lines(ax).items()}
    np.testing.assert_array_equal(drawn["a"], np.median(exponents, 0))
    np.testing.assert_array_equal(drawn["b"], exponents[0])
    assert any(f"largest {exponents[0, 0]:+.3f}" in k for k in lines(ax))


def test_gates_are_drawn_by_unit_and_step(rng):
    """A picture each, of the row asked for, units in the order of the first gate's means."""
    trace = {"i": rng.uniform(0, 1, (5, 2, 3)), "g": rng.uniform(-1, 1, (5, 2, 3))}
    axes = diagnostics.plot_gate_trace(trace, row=1, inputs="hello")
    order = np.argsort(trace["i"][:, 1].mean(0))
    for ax, (letter, values), low in zip(axes, trace.items(), (0, -1), strict=True):
        (image,) = ax.images
        np.testing.assert_array_equal(image.get_array(), values[:, 1].T[order])
        assert (image.norm.vmin, image.norm.vmax) == (low, 1)
        assert ax.get_ylabel().startswith(f"gate {letter}")
    assert [text.get_text() for text in axes[-1].get_xticklabels()] == list("hello")
    axes[0].figure.canvas.draw()
    plt.close("all")


def test_fixed_points_are_drawn_in_the_plane_of_most_variance(ax, rng):
    """Distances stay, for points in a plane; hollow where one is left, and the trajectory ends at its point."""
    plane = np.linalg.qr(rng.standard_normal((4, 2)))[0].T
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]) @ plane
    unstable = np.array([0, 1, 2])
    found = diagnostics.FixedPoints(None, points, np.zeros(3), np.zeros((3, 4), complex), unstable, np.ones(3, int))
    carries = jaxrnn.ElmanCarry(jnp.asarray(np.stack([points[2], points[1], points[0]])[:, None]))
    finished(diagnostics.plot_fixed_points(found, carries=carries, ax=ax), ax, "% of the variance")
    stable, others = (np.asarray(drawn.get_offsets()) for drawn in ax.collections)
    assert [len(stable), len(others)] == [1, 2]
    np.testing.assert_allclose(np.linalg.norm(others - stable, axis=1), [1, 2], rtol=1e-12)
    np.testing.assert_allclose(ax.lines[0].get_xydata()[-1], stable[0], atol=1e-12)
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"trajectories", "stable (1)", "unstable (2)"}


def test_fixed_points_of_one_unit_and_none_at_all_are_drawn(ax):
    none = np.zeros((0, 1))
    found = diagnostics.FixedPoints(None, none, none[:, 0], none.astype(complex), none[:, 0], none[:, 0])
    path = jaxrnn.ElmanCarry(np.linspace(0, 1, 5)[:, None, None])
    finished(diagnostics.plot_fixed_points(found, carries=path, ax=ax), ax, "component 1 (100%", "component 2 (0%")
    assert len(ax.collections) == 0
    assert np.ptp(ax.lines[0].get_xdata()) == pytest.approx(1)


def test_memory_curves_are_drawn(ax, rng):
    curve = diagnostics.MemoryCurve(rng.uniform(0, 1, (8, 2)), 3.21)
    finished(diagnostics.plot_memory_curve({"LSTM": curve}, ax=ax), ax, "delay k (steps)", "R²")
    np.testing.assert_array_equal(lines(ax)["LSTM: capacity 3.2"], curve.scores.mean(-1))


def test_without_matplotlib_a_plot_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'a plot needs matplotlib: pip install "jaxrnn\[train\]"'):
        diagnostics.plot_memory_curve(diagnostics.MemoryCurve(np.ones((3, 1)), 3.0))
