"""The page of the experiments' figures, docs/gallery.md: `make gallery` runs them all, `ARGS="addition names"` some.

A figure is what its command drew: it is shrunk to WIDTH and written to docs/gallery. The page has those that are there.
Results of those are of the same run, and are to be read anew with it; others are as in experiments/README.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FOLDER = HERE / "gallery"
WIDTH = 1100  # pixels, so that all are under 2 MB together


class Shown(NamedTuple):
    """An experiment: its module, the question, what came out, what the figure shows, arguments of the command."""

    name: str
    question: str
    result: str
    figure: str
    arguments: str = ""

    @property
    def command(self) -> str:
        """What draws the figure."""
        return f"python -m experiments.{self.name} {self.arguments}".strip()


SHOWN = (
    Shown(
        "order_matters",
        "The same words in another order say the opposite. Who notices?",
        "An LSTM is right for 99.4 to 100% of the held-out sentences, pairs of neighbours for 85.3%, a bag of words "
        "for 50.0%, which is what it can do by construction.",
        "Accuracies, and what the network holds after each word of two sentences.",
    ),
    Shown(
        "gradient_flow",
        "How much of a loss's gradient is left k steps before it, and what helps?",
        "At the start the logarithm falls by 0.49 to 0.59 a step for tanh, 0.06 to 0.09 with orthogonal weights, "
        "0.28 to 0.31 for an LSTM and 0.04 to 0.07 with forget bias 1. The largest Lyapunov exponent, measured by "
        "itself, is within 0.03 of the slope.",
        "The gradient's norm against the distance in steps, before and after training, for several cells.",
    ),
    Shown(
        "long_memory",
        "How far back can each cell remember?",
        "The adding problem over 1000 steps is solved by all three seeds with gated, GRU, and LSTM with chrono; by an "
        "LSTM without it over 50, and by no Elman network. Copy memory is solved by none in 2000 updates.",
        "Errors during training at several lengths, beside those of a network that remembers nothing.",
    ),
    Shown(
        "state_tracking",
        "What can gates and linear recurrences keep for ever, learnt to length 40 and asked at 500?",
        "Elman, gated, GRU and LSTM are right 99.9 to 100% of the time at positions 401 to 500. Linear loops depend on "
        "their eigenvalues: in [-1, 1] they hold parity and are at chance modulo 3; in [0, 1] at chance in both.",
        "Accuracy at each position, for parity and for counting modulo 3.",
    ),
    Shown(
        "addition",
        "Can a network learn to add from examples, “535+61” in and “596” out?",
        "99.9% of symbols and 99.8% of answers after 29 epochs (one seed); the log of Keras's example has 98.8% of "
        "symbols there.",
        "Right symbols and answers by epoch, and some sums.",
    ),
    Shown(
        "translate_dates",
        "What does attention look at, as “3rd of May 2019” becomes “2019-05-03”?",
        "With Bahdanau's attention 100% of held-out dates with all three seeds, with Luong's 99.7 to 100.0%, without "
        "attention 3.5 to 8.2% after as many updates.",
        "Which symbols of a date are looked at for each symbol of the answer, and the share of right answers.",
    ),
    Shown(
        "sequential_digits",
        "What is left of a digit's first rows, read pixel by pixel?",
        "Best in reading order is LEM with 93.0 to 94.1%, best permuted an Elman network with 88.4 to 88.9%. Logistic "
        "regression, which sees all pixels at once, has 93.3%: LEM is level with it in order, no cell is permuted.",
        "Accuracy by cell, in order and permuted.",
    ),
    Shown(
        "names",
        "Which script is a letter's name from? And can the same be turned round, to write names?",
        "The classifier has 94.0 to 95.0% right, the generator turned back by Bayes' rule 91.8 to 92.1%, naive Bayes "
        "on pairs of letters 93.7%.",
        "Held-out names right by each model, which script is taken for which, and names that were written.",
    ),
    Shown(
        "text_to_vector",
        "Does a sentence's vector have neighbours of its own kind?",
        "81.7 to 82.7% of the neighbours are of the same package with a GRU in both directions, 76.2 to 76.8% without "
        "recurrence, 66.6% by tf-idf; chance is 11.2%.",
        "Sentences in two dimensions by tf-idf and by the network, and how many neighbours are of the same package.",
    ),
    Shown(
        "music",
        "What sounds next in polyphonic music?",
        "On Bach's chorales 8.22 to 8.27 nats a frame with an LSTM, where 8.45 is published; GRU 8.39 to 8.44, Elman "
        "8.74 to 8.83, without a memory 9.14. The file of chorales is not part of the project.",
        "Nats a frame of each network beside those of the baselines, and a piece with what was expected of it.",
        "--data JSB_Chorales.mat",
    ),
    Shown(
        "recurrent_policy",
        "Can an agent remember a cue for 20 to 50 steps?",
        "PPO with an LSTM turns to the right side 97.4 to 99.7% of the time, the same network without memory "
        "23.5 to 24.3%, where chance is 25%.",
        "The share of right turns during training, with and without memory.",
    ),
    Shown(
        "forecast",
        "Is a recurrent network beside an autoregression the better forecaster of sunspots, CO2 and passengers?",
        "MASE 1.10 to 1.14, 0.37 and 0.62 to 0.67; the best simple method, lagged regression, has 1.10, 0.38 and 0.68, "
        "seasonal naive 1.27, 1.21 and 1.32. Intervals of 80% held 81 to 84, 83 and 72 to 79%. On the 414 hourly "
        "series of M4, of which there is no figure here, 0.72 to 0.73, lagged regression 0.75.",
        "Forecasts with their intervals, and what came.",
        "--airline airline-passengers.csv",
    ),
    Shown(
        "from_torch",
        "Is a network the same on both sides of each border: PyTorch, jaxrnn, ONNX Runtime, a file?",
        "2.904588 bits in PyTorch and as it came here; trained on, 2.709437 here, in PyTorch again, in ONNX Runtime "
        "and from its file (one seed).",
        "Bits per character during training, with the borders that were crossed.",
    ),
    Shown(
        "char_lm",
        "How well does a network predict text that it has not seen, character by character?",
        "In 2.04 bits per character of the standard library's last modules (one seed), a 6-gram in 2.23, xz in 1.43; "
        "the same network, learning on as it reads, in 1.41 with 16 rows, and 1.37 with 8, of which the figure is.",
        "The loss during training, beside simple models on the same split.",
    ),
    Shown(
        "which_cell",
        "Which cell is worth trying first, at equal parameters, on four small tasks?",
        "A table and a figure for a reader's own budget.",
        "Errors of each cell on each task, 1 being what is had without a memory.",
    ),
)

HEAD = """\
# Gallery

What the experiments draw. Each is a file of [`experiments/`](../experiments/README.md) with one command, one question,
and in its text what it was compared with and where it falls short. Numbers are of the run that drew the figure, of
three seeds unless said. `make gallery` draws them again.
"""

TAIL = """\
```{toctree}
:hidden:

/experiments/README
```
"""


def page() -> str:
    """The text of docs/gallery.md."""
    return "\n".join([HEAD, *(line for shown in SHOWN if picture(shown).exists() for line in section(shown)), TAIL])


def picture(shown: Shown) -> Path:
    """Where its figure is."""
    return FOLDER / f"{shown.name}.webp"


def section(shown: Shown) -> Iterator[str]:
    """One experiment."""
    yield f"## {shown.name}\n"
    yield f"**{shown.question}** {shown.result}\n"
    yield f"![{shown.figure}](gallery/{shown.name}.webp)\n"
    yield f"```sh\n{shown.command}\n```\n"


def run(shown: Shown, arguments: list[str]) -> None:
    """Run the command and keep its figure, shrunk."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", f"experiments.{shown.name}", *arguments, "--out", str(out)]
        subprocess.run(command, cwd=HERE.parent, check=True)
        with Image.open(next(out.glob("*.png"))) as figure:
            figure = figure.convert("RGB")
            if figure.width > WIDTH:
                figure = figure.resize((WIDTH, round(figure.height * WIDTH / figure.width)), Image.Resampling.LANCZOS)
            FOLDER.mkdir(exist_ok=True)
            figure.save(picture(shown), quality=82, method=6)


def main(names: list[str]) -> None:
    """Those of `names`, or all; `music=--data=FILE` is where a file lies. Then the page."""
    asked = {name.partition("=")[0]: name.partition("=")[2] for name in names}
    if unknown := asked.keys() - {shown.name for shown in SHOWN}:
        sys.exit(f"gallery: expected names of experiments, got {', '.join(sorted(unknown))}")
    for shown in SHOWN:
        if shown.name in asked or not asked:
            print(f"gallery: {shown.command}", flush=True)
            run(shown, (asked.get(shown.name) or shown.arguments).split())
    (HERE / "gallery.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
