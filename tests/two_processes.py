"""One of two processes that train together: `python tests/two_processes.py PORT 0` beside `... PORT 1`.

Each has two devices, and prints the losses and a sum over the params after them.
"""

from __future__ import annotations

import sys

import jax
import numpy as np
import optax

import jaxrnn
from jaxrnn import data, train


def trained(steps: int = 6) -> tuple[list[float], float]:
    """The losses of a small language model, and what is left of its params, over all devices there are."""
    numbers = np.arange(400) * 3 % 11
    model = jaxrnn.models.language_model(jaxrnn.stack(jaxrnn.lstm(8, peepholes=True), jaxrnn.gru(8)), 11, 5)
    optimizer = optax.adam(1e-2)
    update = train.make_update(train.next_symbol(model), optimizer)
    state = train.start(model, jax.random.key(0), optimizer, (4,))
    losses: list[float] = []
    state, _ = train.fit(
        update,
        *train.data_parallel(state, data.Streams(numbers, 4, 12)),
        steps,
        every=1,
        on_report=lambda report, state: losses.append(report.loss),
        progress=False,
    )
    return losses, float(sum(np.abs(np.asarray(a)).sum() for a in jax.tree.leaves(state.params)))


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 2)
    jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2]))
    assert (jax.process_count(), len(jax.devices()), len(jax.local_devices())) == (2, 4, 2)
    losses, size = trained()
    print(*losses, size)
