"""What parameters start from: properties, and distributions against formulas and against the libraries themselves."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from support import CORE, VARIANTS, lenient, table, variant

import jaxrnn
from jaxrnn import initializers

D, H, DRAWS = 6, 64, 40
MATRICES = [name for name in CORE if name != "indrnn"]  # the recurrence of that one is a vector
ALARM = 1e-6  # a false alarm once in a million draws


def distance(n: int, m: float = math.inf) -> float:
    """How far the distribution of n draws may stand from the true one, or from that of m others.

    Dvoretzky, Kiefer and Wolfowitz 1956, with the constant of Massart 1990.
    """
    return math.sqrt(math.log(2 / ALARM) / 2 * (1 / n + 1 / m))


def assert_distributed(sample, law):
    """`law` is a frozen distribution of scipy, or a sample from elsewhere."""
    sample = np.asarray(sample, np.float64).ravel()
    if hasattr(law, "cdf"):
        low, high = law.support()
        slack = float(np.finfo(np.float32).eps) * max(abs(sample))
        assert low - slack <= sample.min() <= sample.max() <= high + slack
        assert stats.kstest(sample, law.cdf).statistic <= distance(sample.size)
    else:
        law = np.asarray(law, np.float64).ravel()
        assert stats.ks_2samp(sample, law).statistic <= distance(sample.size, law.size)


def many(cell, key):
    """DRAWS times the params of a cell, stacked."""
    return stacked([cell.init(k, D) for k in jax.random.split(key, DRAWS)])


def stacked(draws):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *draws)


def uniform(bound):
    return stats.uniform(-bound, 2 * bound)


def truncated_normal(variance):
    """Cut at two of its own standard deviations, and widened so that the variance is as said."""
    return stats.truncnorm(-2, 2, scale=math.sqrt(variance / stats.truncnorm(-2, 2).var()))


def blocks(params, name, gates):
    return dict(zip(gates, np.split(np.asarray(params[name], np.float64), len(gates), -1), strict=True))


def assert_orthonormal(matrix, dtype, scale=1.0):
    """The shorter side's vectors are orthonormal, as far as rounding each entry to `dtype` lets them.

    Rounding moves an entry q by at most eps/2 |q|, and a product of two unit vectors by eps + (eps/2)²; the
    decomposition itself, in float32 or wider, by a few of its own eps for each row.
    """
    matrix = np.asarray(matrix, np.float64) / scale
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    eps = float(jnp.finfo(dtype).eps)
    wide = min(eps, float(jnp.finfo("float32").eps))
    error = np.abs(matrix.T @ matrix - np.eye(matrix.shape[1])).max()
    assert error <= eps + (eps / 2) ** 2 + 4 * len(matrix) * wide


@pytest.mark.parametrize("dtype", table(["float64", "float32", "bfloat16", "float16"], {"float64", "bfloat16"}))
@pytest.mark.parametrize("name", [*MATRICES, "lstm_coupled", "lstm_projection"])
def test_orthogonal_per_gate(name, dtype, key):
    """By default each gate's recurrent block is orthogonal by itself, also in types that QR does not know."""
    cell = variant(name, param_dtype=dtype)
    params = cell.init(key, 3)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {dtype}
    gates = blocks(params, "recurrent_kernel", cell.gates)
    each = [matrix for block in gates.values() for matrix in block.reshape(-1, *block.shape[-2:])]
    for matrix in each:
        assert_orthonormal(matrix, dtype)
    assert len({matrix.tobytes() for matrix in each}) == len(each), "two gates with the same draw"


def test_joint_orthogonal(key):
    """`joint`: the rows of [H, G·H] are orthonormal, and the gates by themselves are not, as in Keras."""
    cell = jaxrnn.lstm(8, recurrent_init=initializers.joint(initializers.orthogonal(0.5)))
    params = cell.init(key, 3)
    assert_orthonormal(params["recurrent_kernel"], "float32", 0.5)
    for block in blocks(params, "recurrent_kernel", "ifgo").values():
        with pytest.raises(AssertionError):
            assert_orthonormal(block, "float32", 0.5)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
def test_orthogonal_scale(shape, key):
    assert_orthonormal(initializers.orthogonal(3.0)(key, shape), "float32", 3.0)


def test_identity(key):
    """IRNN: a scaled identity, zero bias; per gate in a gated cell."""
    params = jaxrnn.elman(7, activation="relu", recurrent_init=initializers.identity(0.5)).init(key, 3)
    np.testing.assert_array_equal(params["recurrent_kernel"], 0.5 * np.eye(7))
    np.testing.assert_array_equal(params["bias"], np.zeros(7))
    params = jaxrnn.gru(7, recurrent_init=initializers.identity()).init(key, 3)
    np.testing.assert_array_equal(params["recurrent_kernel"], np.tile(np.eye(7), 3))


# Each with the distribution of its entries for a block [fan_in, fan_out].
LAWS = {
    initializers.normal(0.3): lambda m, n: stats.norm(scale=0.3),
    initializers.glorot_uniform(): lambda m, n: uniform(math.sqrt(6 / (m + n))),
    initializers.glorot_normal(): lambda m, n: truncated_normal(2 / (m + n)),
    initializers.lecun_uniform(): lambda m, n: uniform(math.sqrt(3 / m)),
    initializers.lecun_normal(): lambda m, n: truncated_normal(1 / m),
    initializers.uniform_hidden(): lambda m, n: uniform(1 / math.sqrt(n)),
    initializers.uniform_hidden(axis=0): lambda m, n: uniform(1 / math.sqrt(m)),
    initializers.uniform_hidden(draws=2): lambda m, n: stats.triang(0.5, -2 / math.sqrt(n), 4 / math.sqrt(n)),
}


@pytest.mark.parametrize("initializer", LAWS, ids=repr)
def test_law(initializer, key):
    """The entries of a large block follow the formula, and their variance is its variance."""
    draw = initializer(key, (300, 200))
    assert draw.dtype == jnp.float32
    draw = np.asarray(draw, np.float64)
    law = LAWS[initializer](300, 200)
    assert_distributed(draw, law)
    kurtosis = float(law.stats("k")) + 3
    error = law.var() * math.sqrt((kurtosis - 1) / draw.size)  # the standard error of a variance
    assert abs(draw.var() - law.var()) <= stats.norm.isf(ALARM / 2) * error


@pytest.mark.parametrize("initializer", [*LAWS, initializers.chrono(20.0), initializers.orthogonal()], ids=repr)
def test_half_types_are_rounded_draws(initializer, key):
    """A bfloat16 draw is the float32 draw rounded: not one of the 256 numbers that a bfloat16 uniform knows."""
    half = initializer(key, (20, 30), "bfloat16")
    np.testing.assert_array_equal(half, initializer(key, (20, 30), "float32").astype("bfloat16"))


def test_float64_draws_are_not_rounded(key):
    draw = np.asarray(initializers.glorot_uniform()(key, (20, 30), "float64"))
    assert draw.dtype == np.float64
    assert (draw != draw.astype(np.float32)).any()


@pytest.mark.parametrize("name", table(VARIANTS, CORE))
def test_fans_are_of_one_gate(name, key):
    """glorot counts D + H for each gate by itself: variance 2 / (D + H), and 2 / (D + G·H) only where it is `joint`."""
    factory, options = VARIANTS[name]
    joint = initializers.joint(initializers.glorot_uniform())
    for kernel_init, fan_out in (initializers.glorot_uniform(), H), (joint, None):
        cell = jaxrnn.CELLS[factory](H, **options, kernel_init=kernel_init)
        kernel = cell.init(key, 40)["kernel"]
        assert kernel.shape == (40, len(cell.gates) * H)
        for block in np.split(np.asarray(kernel), len(cell.gates), -1):
            assert_distributed(block, uniform(math.sqrt(6 / (40 + (fan_out or kernel.shape[1])))))


# Where a cell keeps its memory: the options that say so, the gate, and the sign.
MEMORY = {"lstm": ("forget_bias", "f", 1), "gru": ("update_bias", "z", 1), "gru_reset_before": ("update_bias", "z", 1),
          "multiplicative_lstm": ("forget_bias", "f", 1), "recurrent_highway": ("update_bias", "t", -1),
          "gated": ("update_bias", "g", -1), "mgu": ("update_bias", "f", -1),
          "mgu_reset_after": ("update_bias", "f", 1)}  # fmt: skip


@pytest.mark.parametrize("name", MEMORY)
def test_memory_bias(name, key):
    """A number goes to the gate that remembers and to no other, on top of bias_init."""
    option, remembers, sign = MEMORY[name]
    cell = jaxrnn.CELLS[name](H, **{option: 2.0}, bias_init=initializers.constant(0.25))
    for gate, bias in blocks(cell.init(key, D), "bias", cell.gates).items():
        np.testing.assert_array_equal(bias, np.full(bias.shape, 0.25 + sign * 2.0 * (gate == remembers)))


@pytest.mark.parametrize("name", MEMORY)
def test_chrono(name, key):
    """b = ±log u, u uniform in [1, T - 1], on the gate that remembers; in the LSTMs the negative of it on i."""
    option, remembers, sign = MEMORY[name]
    cell = jaxrnn.CELLS[name](H, **{option: initializers.chrono(30.0)})
    biases = blocks(many(cell, key), "bias", cell.gates)
    assert_distributed(np.exp(sign * biases[remembers]), stats.uniform(1, 28))
    expected = {gate: np.zeros_like(bias) for gate, bias in biases.items()} | {remembers: biases[remembers]}
    if "i" in cell.gates:
        expected["i"] = -biases["f"]
    for gate, bias in biases.items():
        np.testing.assert_array_equal(bias, expected[gate])


def test_chrono_without_an_input_gate(key):
    """With coupled gates there is no i to take the negative."""
    biases = blocks(jaxrnn.lstm(H, coupled=True, forget_bias=initializers.chrono(30.0)).init(key, D), "bias", "fgo")
    assert (biases["f"] > 0).all()
    np.testing.assert_array_equal((biases["g"], biases["o"]), np.zeros((2, H)))


def test_learned_carry_starts_from_the_cells_own(key):
    params = jaxrnn.learned_carry(jaxrnn.lstm(H, projection=5)).init(key, D)
    np.testing.assert_array_equal(params["initial_carry"].h, np.zeros(5))
    np.testing.assert_array_equal(params["initial_carry"].c, np.zeros(H))


# --- presets: our draws beside those of the libraries, in our layout, leaf by leaf and gate by gate ---


def torch_draws(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    options = {"proj_size": 5} if name == "lstm_projection" else {}
    module = {"elman": torch.nn.RNN, "gru": torch.nn.GRU}.get(name, torch.nn.LSTM)
    torch.manual_seed(0)
    draws = [dict(module(D, H, **options).named_parameters()) for _ in range(DRAWS)]
    w = stacked([{k: v.detach().numpy() for k, v in draw.items()} for draw in draws])
    params = {"kernel": w["weight_ih_l0"].swapaxes(1, 2), "recurrent_kernel": w["weight_hh_l0"].swapaxes(1, 2)}
    if name == "gru":
        return params | {"bias": w["bias_ih_l0"], "recurrent_bias": w["bias_hh_l0"]}
    if name == "lstm_projection":
        params["projection"] = w["weight_hr_l0"].swapaxes(1, 2)
    return params | {"bias": w["bias_ih_l0"] + w["bias_hh_l0"]}


@lenient()
def keras_draws(name):
    keras = pytest.importorskip("keras", reason="keras is not installed")
    options = {"reset_after": name == "gru"} if name.startswith("gru") else {}
    layer = {"elman": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM}.get(name, keras.layers.GRU)
    keras.utils.set_random_seed(0)
    draws = []
    for _ in range(3):  # it compiles anew for each; its biases are constants
        made = layer(H, **options)
        made.build((1, 1, D))
        draws.append([np.asarray(w) for w in made.weights])
    kernel, recurrent, bias = map(np.stack, zip(*draws, strict=True))
    params = {"kernel": kernel, "recurrent_kernel": recurrent}
    return params | ({"bias": bias[:, 0], "recurrent_bias": bias[:, 1]} if name == "gru" else {"bias": bias})


def flax_draws(name):
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    cell = {"elman": linen.SimpleCell, "lstm": linen.LSTMCell, "gru": linen.GRUCell}[name](H)
    carry = cell.initialize_carry(jax.random.key(0), (D,))
    keys = jax.random.split(jax.random.key(1), DRAWS)
    w = stacked([cell.init(k, carry, np.zeros(D, "float32"))["params"] for k in keys])
    gates = {"elman": [""], "lstm": "ifgo", "gru": "rzn"}[name]

    def side(letter, leaf):
        gate = lambda g: w[letter + g].get(leaf, np.zeros((DRAWS, H)))  # noqa: E731 - a Dense without a bias adds 0
        return np.concatenate([gate(g) for g in gates], -1)

    params = {"kernel": side("i", "kernel"), "recurrent_kernel": side("h", "kernel")}
    if name == "gru":
        return params | {"bias": side("i", "bias"), "recurrent_bias": side("h", "bias")}
    return params | {"bias": side("i" if name == "elman" else "h", "bias")}


PRESETS = {
    "torch": (initializers.torch_defaults, torch_draws, ["elman", "lstm", "gru", "lstm_projection"]),
    "keras": (initializers.keras_defaults, keras_draws, ["elman", "lstm", "gru", "gru_reset_before"]),
    "flax": (initializers.flax_defaults, flax_draws, ["elman", "lstm", "gru"]),
}


@pytest.mark.parametrize(("peer", "name"), [(peer, name) for peer, row in PRESETS.items() for name in row[2]])
@pytest.mark.full
def test_preset(peer, name, key):
    """Params start as the library's own: the same distribution in each gate, the same orthogonality."""
    defaults, draws, _ = PRESETS[peer]
    theirs = draws(name)
    factory = name.removesuffix("_projection")
    cell = jaxrnn.CELLS[factory](
        H, **VARIANTS[name][1] | ({"projection": 5} if "_p" in name else {}), **defaults(factory)
    )
    ours = many(cell, key)
    assert {k: v.shape[1:] for k, v in ours.items()} == {k: v.shape[1:] for k, v in theirs.items()}
    for leaf in theirs:
        gates = "p" if leaf == "projection" else cell.gates
        for gate, block in blocks(theirs, leaf, gates).items():
            assert_distributed(blocks(ours, leaf, gates)[gate], block)
    for recurrent in (ours["recurrent_kernel"][0], theirs["recurrent_kernel"][0]):
        if peer == "keras":
            assert_orthonormal(recurrent, "float32")
        if peer == "flax":
            for block in np.split(np.asarray(recurrent), len(cell.gates), -1):
                assert_orthonormal(block, "float32")


@pytest.mark.parametrize("preset", [row[0] for row in PRESETS.values()], ids=PRESETS)
@pytest.mark.parametrize("name", CORE)
def test_a_preset_fits_every_cell(preset, name, key):
    """Also those that the library does not have."""
    params = jaxrnn.CELLS[name](H, **preset(name)).init(key, D)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
