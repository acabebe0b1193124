"""A device for each core: what limits a process, and what a program finds that calls for them early, twice or late."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrnn.run import _cores

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, [1.5]),
        ("0::/a/b\n", {"cpu.max": "max 100000", "a/cpu.max": "400000 100000", "a/b/cpu.max": "900000 100000"}, [4, 9]),
        ("0::/of/the/host\n", {"cpu.max": "50000 100000"}, [0.5]),
        ("3:memory:/\n1:cpu,cpuacct:/c\n", {"cpu,cpuacct/c/cpu.cfs_quota_us": "250000\n"}, []),
        (
            "1:cpu,cpuacct:/c\n0::/\n",
            {"cpu,cpuacct/c/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/c/cpu.cfs_period_us": "100000\n"},
            [2.5],
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("", {}, []),
    ],
    ids=["v2", "v2, nested", "v2, in a container", "v1, half of it", "v1", "v1, no limit", "none"],
)
def test_quotas(own, files, expected, tmp_path):
    """The files of cgroups as the kernel's documents show them."""
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert sorted(_cores.quotas(tmp_path / "fs", tmp_path / "own")) == expected


def test_cores(monkeypatch):
    """The least of what limits it, a part of a core counted whole, and one at least."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 7, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(_cores, "quotas", list)
    assert _cores.cores() == 6
    monkeypatch.setattr(_cores, "quotas", lambda: [4.0, 2.2])
    assert _cores.cores() == 3
    monkeypatch.setattr(_cores, "quotas", lambda: [0.3])
    assert _cores.cores() == 1


EARLY = """
a, b = jaxrnn.cores_as_devices(3), jaxrnn.cores_as_devices(3)
print(a, b, said(), len(jax.devices()))
print(jaxrnn.cores_as_devices(3), said(), jaxrnn.cores_as_devices(2), *said(), sep="|")
"""
SET = """print(jaxrnn.cores_as_devices(2), *said(), len(jax.devices()), sep="|")"""
LATE = "JAX has made its devices already; call it before JAX computes anything or is asked for its devices"
PROGRAMS = {
    "early, twice, late": ({}, EARLY, f"3 3 [] 3\n3|[]|3|cores_as_devices: 2 asked for, and it stays with 3: {LATE}"),
    "the flag": (
        {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"},
        SET,
        "3|cores_as_devices: 2 asked for, and it stays with 3: XLA_FLAGS has "
        "--xla_force_host_platform_device_count=3|3",
    ),
    "the variable": (
        {"JAX_NUM_CPU_DEVICES": "3"},
        SET,
        "3|cores_as_devices: 2 asked for, and it stays with 3: jax_num_cpu_devices (JAX_NUM_CPU_DEVICES) is set to 3|3",
    ),
    "an accelerator by name": ({"JAX_PLATFORMS": "cuda,cpu"}, "print(jaxrnn.cores_as_devices(2), *said())", "0"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(name):
    """In a process of its own, as JAX makes its devices once."""
    env, code, expected = PROGRAMS[name]
    begin = """
import warnings
caught = warnings.catch_warnings(record=True).__enter__()
warnings.simplefilter("always")
import jax, jaxrnn
def said():
    texts = [str(w.message) for w in caught if "cores_as_devices" in str(w.message)]
    caught.clear()
    return texts
"""
    clean = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    env = clean | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | env
    done = subprocess.run([sys.executable, "-c", begin + code], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == expected, done.stdout + done.stderr
