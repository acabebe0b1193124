"""Checkpoints: the state of a run on disk, at several steps."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.optional import optional
from jaxrnn.train import _seal
from jaxrnn.train._seal import Damaged


class Checkpoints:
    """The checkpoints of one run in a folder, written by orbax; only the newest `keep` are kept.

    Saves are atomic: a run that is killed during one resumes from the save before. Beside the arrays stand the digests
    of all files of a checkpoint. What is read is the newest whole one: `tell` is called with a line on each that is
    newer and damaged, or that has no digests to be checked by, as those of jaxrnn 0.1.0.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2, tell: Callable[[str], None] = warnings.warn):
        self._orbax = optional("orbax.checkpoint", "train", "saving a run")
        self.folder, self.keep, self.tell = Path(folder).absolute(), keep, tell
        self._root = self.folder / "checkpoints"
        self._manager: Any = None  # made by the first save, so that reading changes nothing
        self._judged: dict[int, Any] = {}  # step: what was saved beside, or why it is not whole

    def save(self, step: int, state: Any, beside: Any = None) -> None:
        """Save a pytree of arrays under `step`, with plain JSON `beside` it, and wait until it is on disk.

        The last step saved is not written again. Raises ValueError for an earlier step, OSError with the folder's name
        where the disk is full.
        """
        last = self.latest()
        if last is not None and step < last:
            raise ValueError(f"step: expected one after the last that was saved, {last}, got {step}")
        if step == last:
            return
        with self._writing(step):
            manager = self._manager = self._manager or self._begin(last)
            manager.save(step, args=self._orbax.args.StandardSave(jax.tree.map(_gathered, state)))
            manager.wait_until_finished()
            if jax.process_index() == 0:
                _seal.seal(self._at(step), beside)
        self._judged[step] = beside

    def latest(self) -> int | None:
        """The newest step that is whole, None if nothing was saved. Raises Damaged if none of those saved is whole."""
        steps: list[int] = []
        while set(now := self._steps()) - set(steps):  # anew, where a run at work has saved others meanwhile
            steps = now
            for step in steps:
                if not isinstance(self._judge(step), Damaged):
                    return step
        if steps:
            raise Damaged(f"no checkpoint in {self.folder} is whole: {self._judge(steps[0])}")
        return None

    def beside(self) -> Any:
        """What was saved beside the arrays of `latest`; None if there is nothing."""
        step = self.latest()
        return None if step is None else self._judge(step)

    def restore(self, like: Any, step: int | None = None) -> Any:
        """The state of a step (None: `latest`) in the shapes and types of `like`, a pytree of arrays or their shapes.

        Raises FileNotFoundError if nothing was saved, Damaged if it is not whole.
        """
        shapes = jax.eval_shape(lambda: like)
        return self._read(lambda reader, path: reader.restore(path, shapes), step, "resume")

    def restore_params(self, model: Any) -> Any:
        """The params of `model` in the newest whole `TrainState`, whatever optimizer it had.

        Raises FileNotFoundError if nothing was saved, Damaged if nothing is whole, ValueError for another model's.
        """
        saved = self._read(lambda reader, path: reader.restore(path), None, "model")["params"]

        def at(path, like):  # on disk, NamedTuples are mappings
            value = saved
            try:
                for part in path:
                    value = value[getattr(part, "key", getattr(part, "name", getattr(part, "idx", None)))]
                came = f"{value.dtype}{list(value.shape)}"
            except (KeyError, IndexError, TypeError, AttributeError):
                came = "none"
            wanted = f"{like.dtype}{list(like.shape)}"
            if came != wanted:
                name = jax.tree_util.keystr(path)
                raise ValueError(
                    f"model: expected params{name} {wanted} in the checkpoint of {self.folder}, got {came}"
                )
            return value

        return jax.tree_util.tree_map_with_path(at, jax.eval_shape(model.init, jax.random.key(0)))

    def close(self) -> None:
        """Close the manager of the folder."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def _at(self, step: int) -> Path:
        return self._root / str(step)

    def _steps(self) -> list[int]:
        """The steps that have a folder, the newest first."""
        names = [path.name for path in self._root.glob("*") if path.is_dir()]
        return sorted((int(name) for name in names if name.isascii() and name.isdigit()), reverse=True)

    def _judge(self, step: int) -> Any:
        """What was saved beside a step, or a Damaged that says why it is not whole; told once."""
        if step not in self._judged:
            path = self._at(step)
            try:
                if not path.is_dir():
                    raise Damaged(f"{path} is gone")
                if _seal.is_sealed(path):
                    self._judged[step] = _seal.unseal(path)
                elif any(_seal.is_sealed(self._at(older)) for older in self._steps() if older < step):
                    raise Damaged(f"{path} has no {_seal.NAME}: it was not finished")
                else:
                    self._judged[step] = None
                    self.tell(f"{path} has no {_seal.NAME}, as those of jaxrnn 0.1.0: it is taken unchecked")
            except Damaged as error:
                self._condemn(step, error)
        return self._judged[step]

    def _condemn(self, step: int, error: Damaged) -> None:
        self._judged[step] = error
        if self._at(step).is_dir():  # else a run at work has removed it
            self.tell(f"the checkpoint of step {step} is left out: {error}")

    def _read(self, read: Callable[[Any, Path], Any], step: int | None, argument: str) -> Any:
        """What `read` gives for a step, or for the newest that can be read."""
        while True:
            at = self.latest() if step is None else step
            if at is None:
                raise FileNotFoundError(f"{argument}: no checkpoint in {self.folder}")
            path = self._at(at)
            if not path.is_dir():
                raise FileNotFoundError(f"step: expected one of {self._steps()}, those in {self.folder}, got {at}")
            if isinstance(found := self._judge(at), Damaged):
                raise found
            with contextlib.closing(self._orbax.StandardCheckpointer()) as reader, _quiet():
                try:
                    return jax.tree.map(_free, read(reader, path / "default"))
                except Exception as error:  # of many kinds, where orbax meets what it did not write
                    if _seal.is_sealed(path):
                        raise
                    reason = str(error).partition("\n")[0][:200]
                    self._condemn(at, Damaged(f"{path} cannot be read: {type(error).__name__}: {reason}"))

    def _begin(self, last: int | None) -> Any:
        """The manager, without what it would stumble over: steps after the last whole one, that come again."""
        for path in (self._root, *map(self._at, self._steps())):
            if path.is_symlink():
                raise ValueError(f"folder: {path} is a link, and a run writes in its own folder only; put a copy there")
        for step in self._steps():
            if last is None or step > last:
                shutil.rmtree(self._at(step))
        options = self._orbax.CheckpointManagerOptions(max_to_keep=self.keep, cleanup_tmp_directories=True)
        return self._orbax.CheckpointManager(self._root, options=options)

    @contextlib.contextmanager
    def _writing(self, step: int) -> Iterator[None]:
        """In this context a full disk, which tensorstore reports in words only, is an OSError that names the folder."""
        try:
            with _quiet():
                yield
        except (OSError, ValueError, RuntimeError) as error:
            words = os.strerror(errno.ENOSPC)
            if getattr(error, "errno", None) == errno.ENOSPC or words in str(error):
                message = f"step {step} could not be saved, {words.lower()}; what was saved before is whole"
                raise OSError(errno.ENOSPC, message, str(self.folder)) from error
            raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without orbax's own report of an error, with a traceback, from the thread that met it: it is raised as well."""
    logger = logging.getLogger("absl")

    def drop(record):
        return False

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


def _gathered(a):
    """An array in one piece, if this process has all of it: it can then be read with any number of devices."""
    spread = isinstance(a, jax.Array) and a.is_fully_addressable and len(a.sharding.device_set) > 1
    return np.asarray(a) if spread else a


def _free(a):
    """An array that may go to any devices: orbax ties it to the one that it was saved from, and `fit` lets it be."""
    return jnp.asarray(np.asarray(a)) if isinstance(a, jax.Array) and a.is_fully_addressable else a
