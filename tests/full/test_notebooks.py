"""The notebooks run from top to bottom, in a fast mode, and what is committed of them is what a reader should see."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "notebooks"
NAMES = [
    "1_what_an_rnn_is",
    "2_why_gradients_vanish",
    "3_gates",
    "4_encode_and_decode",
    "5_your_own_cell",
    "6_forecasting",
]
NOISE = re.compile(r"/(?:home|root|tmp|work|usr|opt|Users|private|var)/\w|\b[A-Za-z]:\\|Warning|Traceback")


def read(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def pictures(cell):
    """The pngs that a cell has put out, as base64."""
    return [o["data"]["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]


def words(cell):
    """All text that a cell has put out."""
    for output in cell.get("outputs", []):
        for text in (output.get("text"), output.get("data", {}).get("text/plain")):
            yield "".join(text or "")


def shown(cells):
    """All that a reader sees of them, however it lies in a file."""
    return [("".join(words(cell)), [base64.b64decode(data) for data in pictures(cell)]) for cell in cells]


def faults(name, notebook):
    """What is wrong with a notebook as it lies in the repository."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if [cell["execution_count"] for cell in code] != list(range(1, len(code) + 1)):
        yield "was not executed from top to bottom"
    for number, cell in enumerate(code, 1):
        for output in cell["outputs"]:
            if output["output_type"] == "error" or output.get("name") == "stderr":
                yield f"cell {number} has an error, or wrote to stderr"
        if any(NOISE.search(text) for text in (*words(cell), source(cell))):
            yield f"cell {number} has a path of a machine, a warning or a traceback"
        if len(pictures(cell)) != source(cell).count("plt.show()") + source(cell).count("forecast.figures."):
            yield f"cell {number} shows {len(pictures(cell))} figures"
        for data in pictures(cell):
            if blank(data):
                yield f"cell {number} has a figure with nothing in it"
    if not any(pictures(cell) for cell in code):
        yield "has no figure"
    for cell in notebook["cells"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", source(cell)) if cell["cell_type"] == "markdown" else ():
            if not (FOLDER / target).is_file():
                yield f"links to {target}, which is not there"
    after = [other for other in NAMES if other > name][:1]
    if after and f"({after[0]}.ipynb)" not in source(notebook["cells"][-1]):
        yield f"does not lead on to {after[0]}"


def blank(data):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, to open figures")
    pixels = np.asarray(image.open(io.BytesIO(base64.b64decode(data))).convert("L"), np.float64)
    return min(pixels.shape) < 100 or pixels.std() < 5


def test_all_are_there():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.every_row
@pytest.mark.parametrize("name", NAMES)
def test_what_a_reader_sees(name):
    assert list(faults(name, read(name))) == []


def test_faults_are_seen():
    """Each fault that is put into a notebook is found, and none without it."""

    def broken(change):
        notebook = read("2_why_gradients_vanish")
        shown = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code" and pictures(cell))
        change(notebook, shown)
        return list(faults("2_why_gradients_vanish", notebook))

    def grey(_, shown):
        buffer = io.BytesIO()
        pytest.importorskip("PIL.Image", reason="needs Pillow, to make a figure").new("L", (400, 300), 255).save(
            buffer, "png"
        )
        next(o for o in shown["outputs"] if "image/png" in o["data"])["data"]["image/png"] = base64.b64encode(
            buffer.getvalue()
        ).decode()

    assert not broken(lambda notebook, shown: None)
    assert broken(lambda notebook, shown: shown["outputs"].clear()) == ["cell 3 shows 0 figures"]
    assert broken(grey) == ["cell 3 has a figure with nothing in it"]
    assert broken(lambda notebook, shown: shown.update(execution_count=9)) == ["was not executed from top to bottom"]
    assert broken(lambda notebook, shown: shown["source"].append("# " + "/home" + "/me"))
    assert broken(lambda notebook, shown: notebook["cells"].pop()) == ["does not lead on to 3_gates"]
    stderr = {"output_type": "stream", "name": "stderr", "text": ["hm"]}
    assert broken(lambda notebook, shown: shown["outputs"].append(stderr))


@pytest.mark.every_row
@pytest.mark.parametrize("name", NAMES)
def test_runs(name, tmp_path, monkeypatch):
    """In fast mode, by this Python, from another folder: without an error, with every figure."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient, to execute notebooks")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat, to read notebooks")
    pytest.importorskip("ipykernel", reason="needs ipykernel, in which notebooks run")
    kernel = tmp_path / "kernels" / "this_python"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "this Python", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    for variable, value in {
        "JUPYTER_PATH": str(tmp_path),
        "IPYTHONDIR": str(tmp_path),  # nobody's own settings
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "JAXRNN_FAST": "1",
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("MPLBACKEND", raising=False)

    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="this_python", resources=where).execute()
    kept = read(name)["cells"]
    assert shown(notebook["cells"]) != shown(kept), "what is committed comes from the fast mode"
    for now, committed in zip(notebook["cells"], kept, strict=True):
        assert len(pictures(now)) == len(pictures(committed)), source(now)
        assert not [o for o in now.get("outputs", []) if o.get("name") == "stderr"], now
