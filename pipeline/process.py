"""Which process of which machine this is, what it may use, and whether another one still lives."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def cores() -> int:
    """Cores that this process may use: a batch system gives a job fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def space() -> str:
    """Names what process ids are unique in: this boot of this machine, and the container on it.

    Elsewhere than on Linux, the machine.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def started(pid: int) -> str | None:
    """When a process began, in the kernel's clock ticks; None: there is none of that id.

    Ids are given again; id and start together are not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    except ProcessLookupError:
        return None
    else:
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]  # a killed one that nobody has waited for writes no more
    try:  # a system without /proc
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
