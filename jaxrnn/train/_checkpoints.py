"""Checkpoints: the state of a run on disk, at several steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from jaxrnn._core.optional import optional


class Checkpoints:
    """The checkpoints of one run in a folder, written by orbax; only the newest `keep` are kept.

    Saves are atomic: a run that is killed during one resumes from the save before.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2):
        self._orbax = optional("orbax.checkpoint", "train", "saving a run")
        options = self._orbax.CheckpointManagerOptions(max_to_keep=keep)
        self.folder = Path(folder).absolute()
        self._manager = self._orbax.CheckpointManager(self.folder / "checkpoints", options=options)

    def save(self, step: int, state: Any) -> None:
        """Save a pytree of arrays under `step`, and wait until it is on disk.

        The last step saved is not written again. Raises ValueError for an earlier step.
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

        def at(path, like):  # on disk, NamedTuples are mappings
            value = saved
            for part in path:
                value = value[getattr(part, "key", getattr(part, "name", getattr(part, "idx", None)))]
            return value

        return jax.tree_util.tree_map_with_path(at, jax.eval_shape(model.init, jax.random.key(0)))

    def close(self) -> None:
        """Close the manager of the folder."""
        self._manager.close()
