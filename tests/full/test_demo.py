"""The demo in a browser: what it writes and forecasts is Python's, and what people do to it is answered in words."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import data, decode, diagnostics, models

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")
ROOT = Path(__file__).parents[2]
if not (ROOT / "docs/demo.py").is_file():
    pytest.skip("docs/ is not here: an sdist has none", allow_module_level=True)
sys.path.insert(0, str(ROOT / "docs"))

import demo_export  # noqa: E402

MODELS = demo_export.MODELS
AXE = ROOT / "docs/node_modules/axe-core/axe.min.js"
WITHOUT_HOST = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
                "--disable-component-update --disable-sync")  # fmt: skip


def command(*arguments, **options):
    """docs/demo.py as a process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    return subprocess.Popen(
        [sys.executable, ROOT / "docs/demo.py", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=WITHOUT_HOST.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The demo as plain files."""
    if not (ROOT / "docs/node_modules/onnxruntime-web").is_dir():
        pytest.skip("docs/node_modules lacks onnxruntime-web: npm install --prefix docs")
    folder = tmp_path_factory.mktemp("demo")
    made = command("--small", "--to", folder)
    out, errors = made.communicate(timeout=120)
    assert made.returncode == 0, errors
    assert f"open {folder / 'index.html'}" in out
    return folder


class Page:
    """A page that is open, and what went wrong in it."""

    def __init__(self, browser, address, name, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page, self.wrong, self.asked = context.new_page(), [], []
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{address}/{name}.html")
        self.page.wait_for_selector("#form[data-ready]", timeout=60_000)
        self.address = address

    def run(self, script, *arguments):
        return self.page.evaluate(script, *arguments)

    @property
    def said(self):
        return self.page.inner_text("#said")

    def fill(self, **values):
        for name, value in values.items():
            self.page.fill("#" + name.replace("_", "-"), str(value))

    def write(self, **values):
        """Press Write, or Go on, with these values in the form; the whole text when it has stopped."""
        self.fill(**values)
        self.page.click("#write")
        self.page.wait_for_function("!document.getElementById('write').disabled", timeout=60_000)
        return self.run("document.getElementById('text').textContent")

    def begin(self):
        self.page.click("#reset")

    def forecast(self, text):
        self.run("(text) => { document.getElementById('series').value = text; }", text)
        self.page.click("#form .main")
        self.page.wait_for_function("document.getElementById('plot').ariaBusy == 'false'", timeout=60_000)
        return self.said

    def close(self):
        """No errors, nothing from anywhere else, nothing that axe calls serious, no scrolling aside."""
        if AXE.is_file():
            self.page.add_script_tag(path=AXE)
            found = self.run("async () => (await axe.run({preload: false})).violations")
            assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
        assert self.wrong == []
        assert [url for url in self.asked if not url.startswith((self.address, "blob:", "data:"))] == []
        assert self.run("document.documentElement.scrollWidth <= innerWidth")
        self.page.context.close()


@pytest.fixture(scope="module")
def writes(browser, written):
    page = Page(browser, written.as_uri(), "index")
    yield page
    page.close()


@pytest.fixture(scope="module")
def forecasts(browser, written):
    page = Page(browser, written.as_uri(), "forecast")
    yield page
    page.close()


def test_from_a_server(browser, written):
    """make demo's own server, at the width of a telephone and in the dark; Ctrl-C ends it without a word."""
    server = command("--small", "--port", 0)
    try:
        server.stdout.readline()
        address = re.match(r"http://localhost:\d+", server.stdout.readline())[0]
        for name in ("index", "forecast"):
            page = Page(browser, address, name, width=390, scheme="dark")
            if name == "index":
                assert len(page.write(prime="import ", length=30)) == len("import ") + 30
                assert re.match(r"Wrote 30 symbols, [\d,]+ a second\.", page.said)
            else:
                assert "The next 24 from" in page.said
            page.close()
    finally:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in what a shell starts in the background
        server.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    assert ignored or (server.returncode, errors) == (0, "")


def test_the_name_leads_home(written, tmp_path):
    import demo

    made = demo.build(tmp_path, home="../docs/index.html")
    for page in ("index.html", "forecast.html"):
        text = (made / page).read_text(encoding="utf-8")
        assert '<a class="home" href="../docs/index.html">jaxrnn</a>' in text
        assert 'class="home"' not in (written / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("prime", ["def main(", "import os\n\nclass "])
def test_greedy_text_is_pythons(writes, prime):
    model, params, vocabulary, _ = jaxrnn.load(MODELS / "writer.safetensors")
    begin = model.initial_carry(params)
    numbers = decode.generate(model.step, params, begin, vocabulary.encode(prime), 200, choose=decode.greedy())[1]
    writes.begin()
    text = writes.write(prime=prime, temperature=0, length=200)
    assert text == prime + vocabulary.decode(np.asarray(numbers))


def test_stopped_and_gone_on_with_is_one_run(writes):
    writes.begin()
    whole = writes.write(prime="for ", temperature=0.9, top_p=0.95, seed=3, length=400)
    writes.begin()
    writes.page.select_option("#pace", "100")
    writes.page.click("#write")
    writes.page.wait_for_function("Number(document.getElementById('count').textContent) >= 12")
    writes.page.click("#stop")
    writes.page.wait_for_function("!document.getElementById('write').disabled")
    writes.page.select_option("#pace", "0")
    parts = [writes.run("document.getElementById('text').textContent")]
    assert writes.said.startswith("Stopped after") and 12 + 4 <= len(parts[0]) < 404
    assert writes.page.inner_text("#write") == "Go on"
    parts += [writes.write(length=n) for n in (1, 20)]
    assert whole.startswith(parts[0]) and parts == [whole[: len(part)] for part in parts]
    writes.begin()
    assert writes.write(seed=4, length=400) != whole
    writes.fill(top_p=1)


def test_the_text_is_coloured_by_a_unit(writes):
    """By tanh c of the unit that the button names, after each character that was read: all but the last."""
    model, params, vocabulary, extra = jaxrnn.load(MODELS / "writer.safetensors")
    unit, _, _ = extra["units"][0]
    writes.begin()
    text = writes.write(prime="f(a, [b", temperature=0, length=80)
    writes.page.click(f"#telling button:text-is('{unit}')")
    found = writes.run("""[...CSS.highlights].flatMap(([name, ranges]) => [...ranges].map((r) =>
        [Number(name.replace("shade-", "")), r.startOffset, r.endOffset]))""")
    shades = np.full(len(text), 4)
    for shade, start, end in found:
        shades[start:end] = shade
    carry, expected = model.initial_carry(params), []
    for token in vocabulary.encode(text[:-1]):
        carry, _ = model.step(params, carry, jnp.asarray(token))
        expected.append(4 + np.round(4 * np.tanh(carry["layer_0"].c[unit - 1])))
    assert shades.tolist() == [*expected, 4]
    assert len(set(expected)) > 3


def test_the_choice_is_that_of_sampling(writes):
    """Shares of what is drawn from given logits, beside softmax over what top_p leaves."""
    logits = np.array([1.0, -0.5, 2.0, 0.3, -3.0])
    script = """([logits, temperature, topP]) => {
        const writer = Object.create(demo.Writer.prototype, {logits: {value: Float32Array.from(logits)}});
        const [random, counts] = [demo.random(1), logits.map(() => 0)];
        for (let i = 0; i < 20000; i++) counts[writer.choose({temperature, topP, random})]++;
        return counts.map((count) => count / 20000);
    }"""
    for temperature, top_p in [(1, 1), (0.5, 1), (2, 0.8), (1, 0.6), (1, 0.001), (1e9, 1), (1e-9, 1)]:
        odds = np.exp((logits - logits.max()) / temperature)
        odds /= odds.sum()
        order = np.argsort(-odds)
        kept = order[: np.searchsorted(np.cumsum(odds[order]), top_p - 1e-12) + 1]
        expected = np.where(np.isin(np.arange(5), kept), odds, 0)
        shares = np.array(writes.run(script, [logits.tolist(), temperature, top_p]))
        np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.02)  # 5.6 deviations of a share of 1/2
        assert (shares[expected == 0] == 0).all()


@pytest.mark.parametrize("kind", data._text.KINDS)
def test_symbols_are_numbered_as_in_python(writes, kind):
    text = "naïve → “Ölbild” 漢字 🎵 a_b2 x\n\t."
    vocabulary = data.Vocabulary.of(text + "abc" * 3, kind)
    about = {"vocabulary": vocabulary.to_config(), "start": {}}
    for said in (text, "", "unknown ß 7 🎵"):
        script = "([about, said]) => new demo.Writer(null, about).encode(said).numbers"
        numbers = writes.run(script, [about, said])
        assert numbers == vocabulary.encode(said).tolist()
        script = (
            "([about, all]) => { const w = new demo.Writer(null, about); return all.map((n) => w.decode(n)).join('') }"
        )
        assert writes.run(script, [about, vocabulary.encode(text).tolist()]) == text


BAD = [
    (dict(prime=""), "There was nothing to begin with"),
    (dict(prime="漢é ok"), 'does not know "漢", "é", and read a blank'),
    (dict(prime="x" * 5_000), "It read the last 2,000 characters"),
    (dict(temperature=1e300), "Wrote 20"),
    (dict(temperature=-1), "Temperature: expected a number of at least 0."),
    (dict(temperature=""), "Temperature: expected a number of at least 0."),
    (dict(top_p=0), "Top p: expected a number from 0.001 to 1."),
    (dict(length=0), "Characters: expected a whole number from 1 to 20,000."),
    (dict(length=1e9), "Characters: expected a whole number from 1 to 20,000."),
    (dict(seed=0.5), "Seed: expected a whole number from 0"),
]


def test_bad_input_is_answered(writes):
    good = dict(prime="a", temperature=0.7, top_p=1, length=20, seed=0)
    for values, answer in BAD:
        writes.begin()
        writes.write(**{**good, **values})
        assert answer in writes.said, values
    writes.begin()
    assert len(writes.write(**good)) == 21


def by_python(values):
    """The quantiles [K, Q] of `predict`."""
    model, params, _, _ = jaxrnn.load(MODELS / "forecaster.safetensors")
    ahead = model.predict(params, np.asarray(values, "float32")[:, None], levels=(0.95, 0.8, 0.5))
    return np.concatenate([ahead.lower, ahead.median[None], ahead.upper[::-1]])[..., 0].T


def test_forecasts_are_pythons(forecasts, rng):
    t = np.arange(100)
    gaps = np.where(rng.random(100) < 0.1, np.nan, 3 * np.sin(t / 3) - 1e3 + t / 50)
    for values in (gaps, 1e-6 * np.cos(t), np.full(100, 7.0), 1e20 * (t % 7), np.cumsum(rng.normal(size=1500))):
        text = " ".join(map(str, values.astype("float32").tolist()))
        rows = np.array(forecasts.run("(text) => demo.forecaster.predict(demo.parse(text).values)", text), float)
        scale = np.nanstd(values) or abs(values[0])
        np.testing.assert_allclose(rows / scale, by_python(values) / scale, atol=1e-4)
        assert f"The next 24 from {len(values):,} values" in forecasts.forecast(text)
        shown = forecasts.run("[...document.querySelectorAll('#numbers td')].map((cell) => cell.textContent)")
        shown = np.array([float(cell) for cell in shown]).reshape(24, 8)
        assert shown[:, 0].tolist() == list(range(1, 25))
        np.testing.assert_allclose(
            shown[:, 1:], rows, rtol=1e-1 if abs(rows).max() > 1e6 or abs(rows).max() < 1e-3 else 1e-3
        )


SERIES = [
    ("", "Expected at least 8 numbers to go on from, got 0."),
    ("1 2 3", "Expected at least 8 numbers to go on from, got 3."),
    ("nan " * 50, "Expected at least 8 numbers to go on from, got 0."),
    ("the quick brown fox", "Value 1: expected a number, or nan where one is missing, got “the”."),
    ("1 2 3 4 5 6 7 x 9", "Value 8: expected a number, or nan where one is missing, got “x”."),
    ("<script>alert(1)</script> 1 2 3 4 5 6 7 8", "Value 1: expected a number"),
    ("1 2 3 4 5 6 7 1e400", "Value 8: expected a number up to 1e30"),
    (" ".join(str(n % 24) for n in range(10_000)), "Read the last 2,000 of 10,000 values. The next 24 from 2,000"),
    ("nan\n" * 3000 + "1 2 3 4 5 6 7 8", "Read the last 2,000"),
    ("1 2 3 4 5 6 7 8", "8 values are few"),
    ("day,sales\n" + "\n".join(f"2026-{m:02},{m % 5}" for m in range(1, 40)), "last of 2 columns. The next 24 from 39"),
    ("\n".join(f"{m};{m % 5},5" for m in range(40)), "Read commas as decimal points, for semicolons"),
    ("sales\n" + "\n".join(map(str, range(40))), "The next 24 from 40 values"),
    ("0 " * 40, "The next 24 from 40 values"),
]  # fmt: skip


def test_what_is_pasted_is_answered(forecasts):
    for text, answer in SERIES:
        assert answer in forecasts.forecast(text), text[:60]


def test_drawn_by_pointer_and_by_keys(forecasts):
    """A stroke to the right and down, through the crest of the wave, then the last value but one by keys."""
    forecasts.page.click("#calm")
    forecasts.page.wait_for_function("document.getElementById('said').textContent.includes('from 96 values')")
    before = [float(v) for v in forecasts.page.input_value("#series").split()]
    box = forecasts.page.locator("#plot").bounding_box()
    mouse = forecasts.page.mouse
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.3 * box["height"])
    mouse.down()
    mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    mouse.up()
    values = [float(v) for v in forecasts.page.input_value("#series").split()]
    drawn = [i for i in range(96) if values[i] != before[i]]
    assert len(values) == 96 and 8 <= len(drawn) <= 16 and drawn[-1] - drawn[0] < 16
    assert (np.diff([values[i] for i in drawn]) < 0).all()
    forecasts.page.focus("#plot")
    for pressed in ("End", "ArrowLeft", "Shift+ArrowUp"):
        forecasts.page.keyboard.press(pressed)
    after = [float(v) for v in forecasts.page.input_value("#series").split()]
    assert [i for i in range(96) if after[i] != values[i]] == [94] and after[94] > values[94]
    told = forecasts.page.get_attribute("#plot", "aria-valuetext")
    assert told == f"value 95 of 96: {after[94]:.4g}"


CELLS = {
    "lstm": (jaxrnn.lstm(5), "ifgoc"),
    "gru": (jaxrnn.gru(5), "rznh"),
    "stack": (jaxrnn.stack(jaxrnn.lstm(5), jaxrnn.lstm(5)), "ifgoc"),
    "two_cells": (jaxrnn.stack(jaxrnn.gru(5), jaxrnn.zoneout(jaxrnn.lstm(5), h=0.1)), "ifgoc"),
    "elman": (jaxrnn.elman(5), "h"),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_step_as_onnx_has_the_gates(name, key):
    """Whatever `make train` was given: logits of apply, gates of gate_trace, which runs the cell another way."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    cell, letters = CELLS[name]
    vocabulary = data.Vocabulary.of("abcdefg")
    model = models.language_model(cell, len(vocabulary), 3)
    params = jax.tree.map(lambda a: a.astype("float32"), model.init(key))
    content, about = demo_export.writer(model, params, vocabulary, {"from": "here"})
    assert [letter for letter, _ in about["gates"]] == list(letters)
    session = runtime.InferenceSession(content)
    names = [output.name for output in session.get_outputs()]
    carry = {n: np.array(a["data"], "float32").reshape(a["dims"]) for n, a in about["start"].items()}
    tokens, seen = vocabulary.encode("gfedcba"), []
    for token in tokens:
        out = dict(zip(names, session.run(names, {"x": token[None], **carry}), strict=True))
        carry = {n: out[f"new_{n}"] for n in carry}
        seen.append(out)
    logits = model.apply(params, None, jnp.asarray(tokens))[1]
    np.testing.assert_allclose(np.concatenate([out["y.logits"] for out in seen]), logits, atol=1e-6)
    if letters == "h":
        return
    trace = diagnostics.gate_trace(cell, params["cell"], None, params["embedding"][tokens])
    for letter, values in trace.get("layer_1", trace).items():
        np.testing.assert_allclose(np.concatenate([out[f"y.gates.{letter}"] for out in seen]), values, atol=1e-6)


def test_a_run_of_make_train(tmp_path):
    """Its own model, and not the small one; its step in ONNX Runtime."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("orbax.checkpoint", reason='the extra "train" is not installed')
    pytest.importorskip("tyro", reason='the extra "train" is not installed')
    import demo

    from experiments import char_lm

    (tmp_path / "text").write_text("the cat sat on the mat.\n" * 40)
    out, text = tmp_path / "run", tmp_path / "text"
    char_lm.main(char_lm.Options(text, out=out, hidden=8, embedding=4, cell="gru", batch=4, window=8, steps=4, every=4))
    model, params, vocabulary, extra = demo.trained(out)
    assert "gru(8)" in str(model) and vocabulary.symbols == tuple(sorted(set(text.read_text())))
    content, about = demo_export.writer(model, params, vocabulary, extra)
    given = {n: np.array(a["data"], "float32").reshape(a["dims"]) for n, a in about["start"].items()}
    [logits] = runtime.InferenceSession(content).run(["y.logits"], {"x": np.array([3], np.int32), **given})
    expected = model.step(params, model.initial_carry(params, (1,)), jnp.array([3], jnp.int32))[1]
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_what_the_command_refuses(tmp_path):
    refused = command("--run", tmp_path / "nothing", "--to", tmp_path / "out")
    _, errors = refused.communicate(timeout=60)
    assert refused.returncode == 1 and len(errors.splitlines()) == 1 and "no trained model in" in errors
