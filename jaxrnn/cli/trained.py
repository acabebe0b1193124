"""A trained language model, from the folder of a run or from a file of `jaxrnn.save`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cli import runs
from jaxrnn.cli.description import check_same, load_description
from jaxrnn.data import Vocabulary
from jaxrnn.interop import load
from jaxrnn.train import Checkpoints


class Trained(NamedTuple):
    """A model, its params, what reads its numbers, and the folder of its run, if it came from one."""

    model: Any
    params: Any
    vocabulary: Vocabulary | None
    folder: Path | None


def trained(place: Path | None) -> Trained:
    """The model at a place: the folder of a run (None: the last in runs/), or a file."""
    if place is not None and place.is_file():
        model, params, vocabulary, _ = load(place)
        return Trained(model, params, vocabulary, None)
    folder = runs.folder("char_lm", place, new=False)
    model, vocabulary, more = load_description(folder)
    checkpoints = Checkpoints(folder, tell=functools.partial(print, file=sys.stderr))
    params = jax.tree.map(jnp.asarray, checkpoints.restore_params(model))
    check_same(folder, more["identity"], checkpoints.beside())
    return Trained(model, params, vocabulary, folder)


def language_model(place: Path | None) -> Trained:
    """The same; exits where it is none that reads and writes text."""
    found = trained(place)
    if found.vocabulary is None or not hasattr(found.model, "vocabulary_size"):
        sys.exit(f"model: expected a language model and its vocabulary, got {found.model!r} from {place}")
    return found
