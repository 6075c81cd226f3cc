"""How many workers a machine has: devices, not wishes."""

from __future__ import annotations

from pipeline.process import cores


def default_workers(torch_threads: int) -> int:
    """How many shards the threads of one process work on side by side.

    With a GPU one: all threads would share the first. Else as many as the process may use cores for.
    """
    return 1 if gpus_here() else max(1, cores() // torch_threads)


def gpus_here() -> int:
    """GPUs that this process sees; 0 on a machine without."""
    import torch

    return torch.cuda.device_count()
