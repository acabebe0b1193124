"""model.json of a run: the call that rebuilds its model, and the vocabulary that reads its numbers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from jaxrnn._core.files import replace
from jaxrnn.data import Vocabulary
from jaxrnn.interop import from_config, to_config

LARGEST = 2**28  # bytes; a vocabulary of ten million words is smaller


def save_description(folder: str | Path, model: Any, vocabulary: Vocabulary, **more: Any) -> str:
    """Write model.json: what rebuilds the model and reads its numbers, and whatever plain JSON is given beside.

    Returns its identity, of the model, the vocabulary and `run`, to be kept with what belongs to them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    description = {"model": to_config(model), "vocabulary": vocabulary.to_config(), **more}
    replace(folder / "model.json", json.dumps({**description, "sha256": _digest(description)}, indent=1) + "\n")
    return identity_of(model, vocabulary, more.get("run"))


def load_description(folder: str | Path, factories: Any = None) -> tuple[Any, Vocabulary, dict]:
    """(model, vocabulary, the rest of model.json and its "identity").

    Raises FileNotFoundError if there is none, ValueError with its name if it is not as `save_description` wrote it.
    One without a digest, of jaxrnn 0.1.0, is taken unchecked.
    """
    path = Path(folder) / "model.json"
    if not path.is_file():
        raise FileNotFoundError(f"no trained model in {folder}: {path} is missing; make train writes one to runs/")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: expected up to {LARGEST:,} bytes, got {path.stat().st_size:,}")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, and no JSON: {error}") from None
    if not isinstance(description, dict) or not {"model", "vocabulary"} <= set(description):
        raise ValueError(f"{path} is damaged: expected a model and a vocabulary in it")
    digest = description.pop("sha256", None)
    if digest is not None and digest != _digest(description):
        raise ValueError(f"{path} is damaged, or was edited: it has another digest than when it was written")
    try:
        model = from_config(description["model"], factories)
        vocabulary = Vocabulary.from_config(description["vocabulary"])
    except Exception as error:  # of whatever kind a factory raises that is called with what a file says
        said = error.args[0] if isinstance(error, KeyError) else error
        raise ValueError(f"{path} cannot be rebuilt: {said}") from None
    size = getattr(model, "vocabulary_size", len(vocabulary))
    if size != len(vocabulary):
        raise ValueError(f"{path}: expected a vocabulary of {size} symbols, as its model has, got {len(vocabulary)}")
    rest = {name: value for name, value in description.items() if name not in ("model", "vocabulary")}
    return model, vocabulary, {**rest, "identity": identity_of(model, vocabulary, rest.get("run"))}


def check_same(folder: Path, identity: str, beside: Any) -> None:
    """Raise ValueError where what was saved `beside` a checkpoint says that it belongs to another model.json."""
    if isinstance(beside, dict) and beside.get("identity", identity) != identity:
        raise ValueError(
            f"{folder / 'model.json'} is not the one that the checkpoints beside it were trained with: "
            "its model, its vocabulary or its run is another; put theirs back"
        )


def identity_of(model: Any, vocabulary: Vocabulary, run: str | None) -> str:
    """A digest that is another for another model, vocabulary (or order of it) or run."""
    return _digest([to_config(model), vocabulary.to_config(), run])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
