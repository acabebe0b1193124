"""How XLA compiles for the tests: fast. Said here, and nowhere else.

Nearly all of the suite's time is XLA's. With these flags programs are made in a third to two thirds of it, and run
slowly. `make test-all` runs the tests marked `optimized` again as users compile; `XLA_FLAGS= make test` does so for
all of them.
"""

from __future__ import annotations

import importlib.metadata

FAST = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 "
if importlib.metadata.version("jaxlib") < "0.11":  # each version refuses to start with a flag of the other
    FAST += "--xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
else:
    FAST += "--xla_cpu_opt_preset=FAST_COMPILE"
