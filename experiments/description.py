"""model.json of a run: the call that rebuilds its model, and the vocabulary that reads its numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jaxrnn import from_config, to_config
from jaxrnn.data import Vocabulary


def save_description(folder: str | Path, model: Any, vocabulary: Vocabulary, **more: Any) -> None:
    """Write model.json: what rebuilds the model and reads its numbers, and whatever plain JSON is given beside."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model": to_config(model), "vocabulary": vocabulary.to_config(), **more}, indent=1)
    part = folder / "model.json.part"
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, folder / "model.json")  # whole or not at all


def load_description(folder: str | Path, factories: Any = None) -> tuple[Any, Vocabulary, dict]:
    """(model, vocabulary, the rest of model.json). Raises FileNotFoundError if there is none."""
    path = Path(folder) / "model.json"
    if not path.is_file():
        raise FileNotFoundError(f"no trained model in {folder}: {path} is missing; make train writes one to runs/")
    description = json.loads(path.read_text(encoding="utf-8"))
    model = from_config(description.pop("model"), factories)
    return model, Vocabulary.from_config(description.pop("vocabulary")), description
