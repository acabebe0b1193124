"""The demo: a model that writes and one that forecasts, in the page, by ONNX Runtime compiled to WebAssembly.

    python docs/demo.py                     serves it; it writes with the last run of `make train`, if there is one
    python docs/demo.py --run runs/char_lm-3 --port 9000
    python docs/demo.py --small             with the small model that is committed
    python docs/demo.py --to FOLDER         only writes the pages there

The pages fetch nothing, not even from beside themselves: models and runtime are scripts, packed and in base64, for from
file:// a browser runs scripts and opens no other file. So one form is right for both.
"""

from __future__ import annotations

import argparse
import base64
import functools
import gzip
import html
import http.server
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import demo_export  # noqa: E402 - the folder is on the path from here on

import jaxrnn  # noqa: E402

RUNTIME = HERE / "node_modules" / "onnxruntime-web" / "dist"
PACKED = {"glue": "ort-wasm-simd-threaded.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css"}


def build(folder: str | Path, run: str | Path | None = None, home: str | None = None) -> Path:
    """Write the demo into `folder`, which any static server shows, and file:// too: index.html, forecast.html.

    run: a folder that experiments.char_lm wrote; None: the small model that is committed. home: where the name of the
    project in the pages leads to, such as "../docs/index.html"; None: nowhere. Raises FileNotFoundError where
    docs/node_modules lacks onnxruntime-web, and what `jaxrnn.interop.to_onnx` raises for a cell that has no ONNX.
    """
    folder = Path(folder)
    for file in ("ort.wasm.min.js", *PACKED.values()):
        if not (RUNTIME / file).is_file():
            raise FileNotFoundError(f"{RUNTIME / file} is missing: npm install --prefix docs brings it")
    scripts = {
        "runtime.js": [script(name, (RUNTIME / file).read_bytes()) for name, file in PACKED.items()],
        "writer.js": [script("writer", *demo_export.writer(*trained(run)))],
        "forecaster.js": [script("forecaster", *demo_export.forecaster())],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted((HERE / "demo").glob("*.*")):
        text = page.read_text(encoding="utf-8")
        if home is not None:
            text = text.replace("<strong>jaxrnn</strong>", f'<a class="home" href="{html.escape(home)}">jaxrnn</a>')
        (folder / page.name).write_text(text, encoding="utf-8")
    shutil.copyfile(RUNTIME / "ort.wasm.min.js", folder / "ort.js")
    for name, lines in scripts.items():
        (folder / name).write_text("".join(lines), encoding="ascii")
    return folder


def script(name: str, content: bytes, about: Any = None) -> str:
    """Bytes as a script that hands them to files.js."""
    packed = base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()
    return f"demo.put({json.dumps(name)}, {json.dumps(about)}, {json.dumps(packed)});\n"


def trained(run: str | Path | None) -> tuple:
    """(model, params, vocabulary, what to say of it) of a run, or of what is committed."""
    if run is None:
        model, params, vocabulary, extra = jaxrnn.load(demo_export.MODELS / "writer.safetensors")
        return model, params, vocabulary, extra
    from jaxrnn.cli.description import load_description

    model, vocabulary, more = load_description(run)
    text = more.get("options", {}).get("text") or "the modules of Python's standard library"
    params = jaxrnn.train.Checkpoints(run).restore_params(model)
    return model, params, vocabulary, {"from": f"The run {Path(run).name} of make train, which learnt from {text}."}


def last_run() -> Path | None:
    """The folder of the last run of make train, if there is one."""
    from jaxrnn.cli import runs

    try:
        return runs.folder("char_lm", None, new=False)
    except SystemExit:
        return None


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files with their types, whatever this machine says of them, and without a line for each."""

    extensions_map = TYPES

    def log_message(self, format, *args):
        pass


def serve(folder: Path, port: int) -> None:
    """Serve a folder to this machine alone, until Ctrl-C."""
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Handler, directory=str(folder)))
    except OSError as error:
        sys.exit(f"--port {port}: {error.strerror}; give another --port, or 0 for any that is free")
    with server:
        print(f"http://localhost:{server.server_port}/ writes, .../forecast.html forecasts; Ctrl-C ends it", flush=True)
        server.serve_forever()


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--run", type=Path, help="a folder that make train wrote; the last in runs/ if not given")
    parser.add_argument("--small", action="store_true", help="the small model that is committed, in place of a run")
    parser.add_argument("--port", type=int, default=8000, help="where to serve; 0: any port that is free")
    parser.add_argument("--to", type=Path, help="write the pages to this folder, and serve nothing")
    options = parser.parse_args(arguments)
    run = None if options.small else options.run or last_run()
    print(f"writes with {run or 'the small model of docs/demo/models'}", flush=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            build(options.to or folder, run)
            if options.to is None:
                serve(Path(folder), options.port)
            else:
                print(f"written to {options.to}: open {options.to / 'index.html'}")
    except KeyboardInterrupt:
        print()
    except (OSError, ImportError, TypeError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
