"""Read dates as people write them: "3rd of May 2019" in, "2019-05-03" out, with attention, and a picture of it.

    python -m experiments.translate_dates                          about two minutes on two cores
    python -m experiments.translate_dates --attention bahdanau --seeds 1 --cell lstm

Dates of 1900 to 2099 in the formats of FORMATS, each at random in small letters, capitals, or as they are. A tenth of
all days is held out: no format of them is ever learnt from. An answer is right if all ten of its symbols are.

Three models differ in attention only: Bahdanau's, Luong's, and none, whose decoder has nothing but the encoder's final
carry. Each is trained from several seeds, which draw the parameters and the order of the dates.

Prints one line of JSON; writes to --out: that line with the curves (result.json) and the figure (dates.png).
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from experiments import program, runs
from jaxrnn import data
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.models import encoder_decoder

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS = "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"
FIRST, COUNT = datetime.date(1900, 1, 1), 73_049  # days up to the end of 2099
FORMATS = (
    "{d} {month} {y}", "{d} {mon} {y}", "{dd} {mon} {y}", "{nth} of {month} {y}", "{nth} {month}, {y}",
    "{nth} {mon} {y}", "the {nth} of {month}, {y}", "{month} {d}, {y}", "{mon} {d}, {y}", "{month} {nth}, {y}",
    "{month} the {nth}, {y}", "{weekday}, {d} {month} {y}", "{weekday}, {month} {d}, {y}", "{wd}, {dd} {mon} {y}",
    "{weekday} the {nth} of {month} {y}", "{d}.{m}.{y}", "{dd}.{mm}.{y}", "{m}/{d}/{y}", "{mm}/{dd}/{y}",
    "{y}/{mm}/{dd}", "{y}{mm}{dd}", "{d}-{mon}-{y}", "{y} {month} {d}", "{d} {month} of the year {y}",
)  # fmt: skip
SHOWN = "{nth} of {month} {y}", "{wd}, {dd} {mon} {y}", "{m}/{d}/{y}"  # of which there is a picture


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    cell: Literal[tuple(jaxrnn.CELLS)] = "gru"  # type: ignore[valid-type]
    """Of the encoder, in both directions, and of the decoder."""
    attention: tuple[Literal["bahdanau", "luong", "none"], ...] = ("bahdanau", "luong", "none")
    """How the decoder looks at the source; the pictures are of the first."""
    hidden: int = 64
    """H, hidden units of the decoder, and of each direction of the encoder."""
    embedding: int = 16
    """E, the size of a symbol's learned vector."""
    examples: int = 32_000
    """Dates to learn from, each read once."""
    batch: int = 64
    """B, dates in an update."""
    rate: float = 4e-3
    """The learning rate of Adam at first, which falls to 0 along a cosine."""
    seeds: int = 3
    """Models of each kind."""
    fast: bool = False
    """A run of seconds, which learns next to nothing: one model with attention, 16 units, 512 dates."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def written(day: datetime.date, form: str, case: int = 0) -> str:
    """A day in one of FORMATS; case: 0 as it is, 1 in small letters, 2 in capitals."""
    month, weekday, d = MONTHS[day.month - 1], DAYS[day.weekday()], day.day
    ending = "th" if 10 < d < 20 else {1: "st", 2: "nd", 3: "rd"}.get(d % 10, "th")
    text = form.format(
        d=d, dd=f"{d:02}", nth=f"{d}{ending}", m=day.month, mm=f"{day.month:02}", y=day.year,
        month=month, mon=month[:3], weekday=weekday, wd=weekday[:3],
    )  # fmt: skip
    return (text, text.lower(), text.upper())[case]


def dates(days: np.ndarray, count: int, rng: np.random.Generator) -> tuple[list[str], list[str], np.ndarray]:
    """So many of these days, in random formats: (texts, answers, the number of each format)."""
    forms, chosen = rng.integers(0, len(FORMATS), count), rng.choice(days, count).tolist()
    found = [FIRST + datetime.timedelta(days=day) for day in chosen]
    cases = rng.integers(0, 3, count).tolist()
    texts = [written(day, FORMATS[form], case) for day, form, case in zip(found, forms, cases, strict=True)]
    return texts, [day.isoformat() for day in found], forms


class Dates(NamedTuple):
    """Dates side by side, as arrays."""

    source: jax.Array  # [S, N] int32
    lengths: jax.Array  # [N] int32
    target: jax.Array  # [T, N] int32


AXES: Any = Dates(1, 0, 1)  # pyright: ignore[reportArgumentType] - where the rows are


def train(model: Any, learnt: Dates, new: Dates, options: Options, name: str) -> tuple[list, list, list]:
    """(params of each seed, curves [seeds, points] of (update, loss, right), what each says of what is new)."""
    updates = len(learnt.lengths) // options.batch
    points = min(16, updates)
    stretch = updates // points

    def loss(params, batch, key):
        return model.loss(params, batch.source, batch.target, lengths=batch.lengths)

    @jax.jit
    def write(params):
        return model.translate(params, new.source, len(new.target), lengths=new.lengths)[0]

    found, curves, said = [], [], []
    for seed in range(options.seeds):
        k1, k2 = jax.random.split(jax.random.key(seed))
        curve: list[list] = []

        def judge(row, state, curve=curve):
            right = np.asarray(write(state.params) == new.target).all(0).mean().item()
            curve.append([row["step"], row["loss"], right])

        params = jaxrnn.train.learn(
            loss, model.init(k1), learnt, axis=AXES, key=k2, steps=points * stretch, every=stretch,
            batch=options.batch, rate=options.rate, decay=0.0, on_report=judge, progress=False,
        ).params  # fmt: skip
        found, curves, said = [*found, params], [*curves, curve], [*said, np.asarray(write(params))]
        print(f"{name}, seed {seed}: {curve[-1][-1]:.2%} of dates right, of days never seen", file=sys.stderr)
    return found, curves, said


def main(options: Options) -> dict:
    """Train all kinds, write the figure, print the line; returns it."""
    if options.fast:
        options = dataclasses.replace(options, attention=options.attention[:1], hidden=16, examples=512, seeds=1)
    out = runs.folder("translate_dates", options.out, new=True)
    rng = np.random.default_rng(0)
    days = rng.permutation(COUNT)
    texts, answers, _ = dates(days[COUNT // 10 :], options.examples, rng)
    held_out = days[: COUNT // 10]
    new_texts, new_answers, forms = dates(held_out, 256 if options.fast else 4800, rng)
    for i, form in enumerate(SHOWN):  # in place of the first
        day = FIRST + datetime.timedelta(days=int(held_out[i]))
        new_texts[i], new_answers[i], forms[i] = written(day, form), day.isoformat(), FORMATS.index(form)
    letters, digits = data.Vocabulary.of("".join(texts + new_texts)), data.Vocabulary.of("0123456789-")
    longest = max(map(len, texts + new_texts))

    def arrays(texts, answers):
        source = np.stack([np.pad(letters.encode(text), (0, longest - len(text))) for text in texts], 1)
        lengths = np.array([len(text) for text in texts], np.int32)
        return Dates(*map(jnp.asarray, (source, lengths, np.stack([digits.encode(a) for a in answers], 1))))

    learnt, new = arrays(texts, answers), arrays(new_texts, new_answers)
    cell, n = jaxrnn.CELLS[options.cell](options.hidden), len(SHOWN)
    both = jaxrnn.bidirectional(cell, cell)
    curves, by_format, seconds, shown, weights = {}, {}, {}, {}, None
    for kind in options.attention:
        attention = None if kind == "none" else kind
        model = encoder_decoder(both, cell, len(letters), len(digits), options.embedding, attention=attention)
        began = time.perf_counter()
        found, curves[kind], said = train(model, learnt, new, options, kind)
        seconds[kind] = round(time.perf_counter() - began, 1)
        right = np.stack([(a == new.target).all(0) for a in said])
        by_format[kind] = {form: right[:, forms == i].mean().round(4).item() for i, form in enumerate(FORMATS)}
        if attention is not None and weights is None:
            shown = {text: digits.decode(said[0][:, i]) for i, text in enumerate(new_texts[:n])}
            look = jax.jit(model.attention_weights)
            weights = np.asarray(look(found[0], new.source[:, :n], said[0][:, :n], lengths=new.lengths[:n]))
    last = {kind: [round(curve[-1][-1], 4) for curve in of] for kind, of in curves.items()}
    line = {"right": last, "shown": shown, "seconds": seconds, "options": runs.plain(options)}
    replace(out / "result.json", json.dumps({**line, "by_format": by_format, "curves": curves}) + "\n")
    plot(curves, shown, weights, options, out / "dates.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(curves: dict, shown: dict, weights: np.ndarray | None, options: Options, path: Path) -> None:
    """How many dates are right along the way, and where each symbol of an answer came from."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 12
    figure, axes = plt.subplots(
        1, 1 + len(shown), figsize=(5.5 + 2.7 * len(shown), 5), width_ratios=[2] + [1] * len(shown),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    first, *rest = axes[0]
    for (kind, of), color in zip(curves.items(), ("tab:blue", "tab:orange", "tab:gray"), strict=False):
        updates, rights = [point[0] for point in of[0]], [[point[-1] for point in curve] for curve in of]
        label = {"bahdanau": "Bahdanau's attention", "luong": "Luong's attention", "none": "no attention"}[kind]
        first.plot(updates, np.transpose(rights), color=color, alpha=0.4, linewidth=1.2)
        first.plot(updates, np.mean(rights, 0), color=color, linewidth=2.8, label=label)
    first.set(xlabel=f"updates, by {options.batch} dates", xlim=(0, None), ylim=(0, 1.03))
    first.set_ylabel("dates right, of days never seen")
    first.set_title(f"{options.cell}({options.hidden}); thin: each of {options.seeds} seeds")
    first.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    first.spines[["top", "right"]].set_visible(False)
    first.legend(frameon=False, loc="center right")
    for i, (ax, (text, answer)) in enumerate(zip(rest, shown.items(), strict=True)):
        assert weights is not None
        ax.imshow(weights[:, i, : len(text)].T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(answer)), answer, family="monospace", fontsize=11)
        ax.set_yticks(range(len(text)), text.replace(" ", "␣"), family="monospace", fontsize=11)
        ax.tick_params(length=0)
        ax.set_xlabel("written")
    if rest:
        rest[0].set_ylabel("read")
        rest[len(rest) // 2].set_title("where attention is at each symbol")
    runs.save_figure(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "translate_dates", __doc__)
