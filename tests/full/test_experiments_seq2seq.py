"""The experiments with encoder-decoders: their data against slow programs, and a run of seconds of each."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tyro", reason='the extra "train" is not installed')
pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `experiments` is run from the root of the repository, not installed

from experiments import addition, translate_dates  # noqa: E402


def test_questions_are_all_different(rng):
    """As many as asked for, in either order, up to the very last; numbers of each length as often as another."""
    pairs = addition.questions(3, 20_000, rng)
    assert pairs.shape == (20_000, 2) and pairs.min() == 0 and pairs.max() == 999
    assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == len(pairs)
    every = addition.questions(1, 55, rng)
    assert {tuple(sorted(pair)) for pair in every.tolist()} == {(a, b) for a in range(10) for b in range(a, 10)}
    with pytest.raises(SystemExit, match="there are 55 questions of 1 digits, and not 56"):
        addition.questions(1, 56, rng)


def test_sums_as_they_are_written():
    pairs = np.array([[535, 61], [0, 7], [999, 999], [99, 1]])
    asked, answers = addition.texts(pairs, 3)
    assert asked == ["535+61 ", "0+7    ", "999+999", "99+1   "]
    assert answers == ["596 ", "7   ", "1998", "100 "]
    assert addition.carries(pairs).tolist() == [0, 0, 3, 2]


def test_carries_are_what_the_digits_lack(rng):
    """Each one that is carried takes 9 from the sum of all digits."""

    def digits(n):
        return sum(map(int, str(n)))

    pairs = rng.integers(0, 10_000, (500, 2))
    expected = [(digits(a) + digits(b) - digits(a + b)) // 9 for a, b in pairs.tolist()]
    assert addition.carries(pairs).tolist() == expected and set(expected) == {0, 1, 2, 3, 4}


def test_dates_as_they_are_written():
    day = datetime.date(2019, 5, 3)
    texts = [translate_dates.written(day, form) for form in translate_dates.FORMATS]
    assert {"3rd of May 2019", "5/3/2019", "03.05.2019", "20190503"} <= set(texts)
    assert "Friday the 3rd of May 2019" in texts and "Fri, 03 May 2019" in texts
    assert (
        translate_dates.written(day, "{weekday}", 1) == "friday" and translate_dates.written(day, "{mon}", 2) == "MAY"
    )
    spoken = [translate_dates.written(datetime.date(2000, 1, d), "{nth}") for d in range(1, 32)]
    odd = {"1st", "2nd", "3rd", "21st", "22nd", "23rd", "31st"}
    assert {s for s in spoken if not s.endswith("th")} == odd and spoken[10:13] == ["11th", "12th", "13th"]


def test_every_day_of_the_calendar_is_counted(rng):
    """From the first to the last day; each text says its answer, where it can be read by another program."""
    last = translate_dates.FIRST + datetime.timedelta(days=translate_dates.COUNT - 1)
    assert (translate_dates.FIRST.isoformat(), last.isoformat()) == ("1900-01-01", "2099-12-31")
    texts, answers, forms = translate_dates.dates(np.arange(translate_dates.COUNT), 3000, rng)
    read = {"{weekday}, {month} {d}, {y}": "%A, %B %d, %Y", "{mm}/{dd}/{y}": "%m/%d/%Y", "{d}.{m}.{y}": "%d.%m.%Y"}
    seen = 0
    for text, answer, form in zip(texts, answers, forms, strict=True):
        if (pattern := read.get(translate_dates.FORMATS[form])) is not None:
            assert datetime.datetime.strptime(text, pattern).date().isoformat() == answer
            seen += 1
    assert seen > 200


@pytest.mark.parametrize(
    ("experiment", "figure"),
    [(addition, "addition.png"), (translate_dates, "dates.png")],
    ids=["addition", "translate_dates"],
)
@pytest.mark.usefixtures("float32_only")
def test_a_fast_run(experiment, figure, tmp_path, capsys):
    """One line of JSON, which is also in result.json, and one figure; what is reported is learnt from the data."""
    line = experiment.main(experiment.Options(fast=True, out=tmp_path))
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and json.loads(printed) == {**line, "out": str(tmp_path)}
    result = json.loads((tmp_path / "result.json").read_text())
    assert {name: result[name] for name in line} == line
    if experiment is addition:
        losses = [point["loss"] for point in result["curve"]]
    else:
        losses = [loss for _, loss, _ in result["curves"]["bahdanau"][0]]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")
