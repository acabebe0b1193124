"""A CPU device for each core, before JAX starts: rows over devices then keep all cores at work."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax

from jaxrnn._core import checks

FLAG = re.compile(r"--xla_force_host_platform_device_count=(\d+)")
SETTING = "jax_num_cpu_devices"

_made: list[int] = []  # what a call before this one has set


def cores_as_devices(n: int | None = None) -> int:
    """Give JAX a CPU device for each core that this process may use, and return how many there will be.

    Called once at the start of a program, before JAX computes anything: `train.fit`, `streaming` of many streams and
    `engines.over_devices` then share rows among the cores. Each core runs its own loop, so that pointwise work is on
    all of them and no product waits for another thread.

    n: how many; None: as many as the affinity of the process and its CPU quota (cgroup, rounded up) leave it.

    Nothing is started, so that `jax.distributed.initialize` can follow. What cannot be changed stands, with a warning
    where n is another number: XLA_FLAGS with --xla_force_host_platform_device_count, JAX_NUM_CPU_DEVICES or
    jax.config, and devices that JAX has made already. A second call with the same n changes nothing. Where a platform
    other than the CPU is chosen by name (JAX_PLATFORMS), nothing is done, and 0 returned; where an accelerator is found
    by JAX itself, it stays the default, and the CPU's devices lie beside it.
    Raises ValueError or TypeError for an n that is not a positive whole number.
    """
    n = cores() if n is None else checks.positive(n, "n")
    platforms = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
    if platforms and platforms.split(",")[0] != "cpu":
        return 0
    flag, set_to = FLAG.findall(os.environ.get("XLA_FLAGS", "")), getattr(jax.config, SETTING)
    if flag and set_to < 0:  # the setting would overrule the flag in silence
        return _stands(n, int(flag[-1]), f"XLA_FLAGS has --xla_force_host_platform_device_count={flag[-1]}")
    if set_to > 0 and set_to not in _made:
        return _stands(n, set_to, f"{SETTING} (JAX_NUM_CPU_DEVICES) is set to {set_to}")
    try:
        jax.config.update(SETTING, n)
    except RuntimeError:  # JAX has started; it says nothing where it has started with n
        cure = "call it before JAX computes anything or is asked for its devices"
        return _stands(n, jax.local_device_count(), f"JAX has made its devices already; {cure}")
    _made.append(n)
    return n


def _stands(asked: int, there: int, why: str) -> int:
    if there != asked:
        warnings.warn(f"cores_as_devices: {asked} asked for, and it stays with {there}: {why}", stacklevel=3)
    return there


def cores() -> int:
    """How many cores this process may use: by its affinity, its cgroups' quota and PYTHON_CPU_COUNT, at least 1."""
    counts = [getattr(os, "process_cpu_count", os.cpu_count)() or 1]  # the former from Python 3.13 on
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    return max(1, min([*counts, *map(math.ceil, quotas())]))


def quotas(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """The CPUs that each cgroup of this process, and those above it, may use at a time, where one is limited.

    root: where version 2 is mounted, and version 1's controllers are. own: the process's groups, a line
    "id:controllers:path" each; within a container the path may be that of the host, and the group's files at the root.
    """
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for base in {root / "cpu", root / controllers} if controllers else {root}:
            group = Path(path)
            for place in {base, *(base / str(g).lstrip("/") for g in (group, *group.parents))}:
                if controllers:
                    limit = [_read(place / "cpu.cfs_quota_us"), _read(place / "cpu.cfs_period_us")]
                else:
                    limit = _read(place / "cpu.max").split()
                if len(limit) == 2 and all(part.strip().isdigit() for part in limit) and int(limit[1]):
                    yield int(limit[0]) / int(limit[1])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
