"""How many workers a machine has: devices, not wishes."""

from __future__ import annotations

import os


def default_workers(torch_threads: int) -> int:
    """How many shards the threads of one process work on side by side.

    With a GPU one: all threads would share the first. Else as many as the process may use cores for.
    """
    return 1 if gpus_here() else max(1, cores_here() // torch_threads)


def gpus_here() -> int:
    """GPUs that this process sees; 0 on a machine without."""
    import torch

    return torch.cuda.device_count()


def cores_here() -> int:
    """Cores that this process may use: a batch system gives a job fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
