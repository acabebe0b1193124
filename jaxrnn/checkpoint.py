"""A run on disk: the model's description once, its state at several steps, and how to get both back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jax

from jaxrnn.config import from_config, to_config
from jaxrnn.data import Vocabulary
from jaxrnn.optional import optional


class Checkpoints:
    """The checkpoints of one run in a folder, written by orbax; the newest `keep` stay.

    A save is complete or not there: a run killed in the middle of one picks up from the save before.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2):
        self._orbax = optional("orbax.checkpoint", "train", "saving a run")
        options = self._orbax.CheckpointManagerOptions(max_to_keep=keep)
        self.folder = Path(folder).absolute()
        self._manager = self._orbax.CheckpointManager(self.folder / "checkpoints", options=options)

    def save(self, step: int, state: Any) -> None:
        """Save a pytree of arrays as that of `step`, and wait until it is on disk.

        The last step saved is not written again. Raises ValueError for a step before it.
        """
        latest = self.latest()
        if latest is not None and step < latest:
            raise ValueError(f"step: expected one after the last that was saved, {latest}, got {step}")
        if step != latest:
            self._manager.save(step, args=self._orbax.args.StandardSave(state))
            self._manager.wait_until_finished()

    def latest(self) -> int | None:
        """The last step saved, None if there is none."""
        return self._manager.latest_step()

    def restore(self, like: Any, step: int | None = None) -> Any:
        """The state of a step (None: the last) in the shapes and types of `like`, a pytree of arrays or their shapes.

        Raises FileNotFoundError if nothing was saved.
        """
        step = self.latest() if step is None else step
        if step is None:
            raise FileNotFoundError(f"resume: no checkpoint in {self.folder}")
        shapes = jax.eval_shape(lambda: like)
        return self._manager.restore(step, args=self._orbax.args.StandardRestore(shapes))

    def restore_params(self, model: Any) -> Any:
        """The params of `model` in the last `TrainState` saved, whatever optimizer it had.

        Raises FileNotFoundError if nothing was saved.
        """
        if self.latest() is None:
            raise FileNotFoundError(f"model: no checkpoint in {self.folder}")
        saved = self._manager.restore(self.latest(), args=self._orbax.args.StandardRestore())["params"]

        def at(path, like):  # what is on disk has mappings for NamedTuples
            value = saved
            for part in path:
                value = value[getattr(part, "key", getattr(part, "name", getattr(part, "idx", None)))]
            return value

        return jax.tree_util.tree_map_with_path(at, jax.eval_shape(model.init, jax.random.key(0)))

    def close(self) -> None:
        """Let go of the folder."""
        self._manager.close()


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
