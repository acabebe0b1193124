"""A program that is killed while it saves: what is at the path is one of the models saved, whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxrnn

pytest.importorskip("safetensors", reason='the extra "files" is not installed')

KILLS = 50
# Each child, forked before JAX has threads, saves models 0, 1, 2, ... to one path until it is killed at a random moment
# after the first. A sync that takes its time makes the moments before it and after it longer.
SAVER = """
import os, random, signal, sys, time
import numpy as np
import jaxrnn

sync = os.fsync
os.fsync = lambda number: (time.sleep(0.005), sync(number), time.sleep(0.005))
cell, shapes = jaxrnn.lstm(256), {"kernel": (128, 1024), "recurrent_kernel": (256, 1024), "bias": (1024,)}
random.seed(0)
for trial in range(int(sys.argv[2])):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        for k in range(1000):
            params = {name: np.full(shape, k, "float32") for name, shape in shapes.items()}
            jaxrnn.save(f"{sys.argv[1]}/{trial}", cell, params, extra=k)
            os.write(write, b"!" if k == 0 else b"")
    os.read(read, 1)
    time.sleep(random.uniform(0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def test_killed_fifty_times(tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(jaxrnn.__file__).parents[1]), *sys.path])}
    command = [sys.executable, "-c", SAVER, str(tmp_path), str(KILLS)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    last = []
    for trial in range(KILLS):
        record, params, _, k = jaxrnn.load(tmp_path / str(trial))
        assert record == jaxrnn.lstm(256)
        for a in jax.tree.leaves(params):
            np.testing.assert_array_equal(np.asarray(a), k)
        last.append(k)
    parts = [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    assert parts, "none was killed while it wrote"
    assert max(last) > 0
