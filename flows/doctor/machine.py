"""Devices, memory and disks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from flows.doctor.finding import Finding, State, ok
from pipeline import process, store

MEMORY_TINY, MEMORY_SD15 = 2e9, 10e9
"""Bytes: what builds with ``tiny`` and, in float32 on a CPU, with ``sd15`` take at most (docs/results.md)."""
DISK = 5e9
_SMI = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free,driver_version", "--format=csv,noheader,nounits"]


def devices() -> Iterator[Finding]:
    """GPUs, by their driver's own tool: torch takes seconds to import."""
    try:
        done = subprocess.run(_SMI, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        cores = process.cores()
        remedy = "enough for tiny and photos; sd15 and sdxl want a GPU with NVIDIA's driver, or --allow-cpu and days"
        yield Finding("devices", State.NOTE, f"no GPU (no nvidia-smi); {cores} CPU cores", remedy)
        return
    lines = [line.split(", ") for line in done.stdout.splitlines() if line.count(",") == 3]
    if done.returncode or not lines:
        said = (done.stderr or done.stdout).strip().splitlines()
        yield Finding("devices", State.PROBLEM, f"nvidia-smi: {said[0] if said else 'no GPU'}", "mend NVIDIA's driver")
        return
    for number, (name, total, free, driver) in enumerate(lines):
        text = f"GPU {number}: {name}, {int(total) / 1024:.0f} GB, {int(free) / 1024:.0f} free, driver {driver}"
        busy = int(free) < int(total) / 2
        remedy = "another process uses it: end that, or pick another GPU with CUDA_VISIBLE_DEVICES" if busy else ""
        yield Finding("devices", State.NOTE if busy else State.OK, text, remedy)


def memory() -> Iterator[Finding]:
    """What the process may still take: the machine's, or its control group's where that is less."""
    free = available()
    if free is None:
        yield Finding("memory", State.NOTE, "not known (no /proc/meminfo)", "tiny takes up to 2 GB")
    elif free < MEMORY_TINY:
        yield Finding(
            "memory", State.PROBLEM, f"{free / 1e9:.1f} GB free", "a build takes up to 2 GB: end other programs"
        )
    elif free < MEMORY_SD15:
        remedy = "enough for tiny and photos; sd15 takes 10 GB without a GPU"
        yield Finding("memory", State.NOTE, f"{free / 1e9:.1f} GB free", remedy)
    else:
        yield ok("memory", f"{free / 1e9:.1f} GB free")


def disks(work: str) -> Iterator[Finding]:
    """Room and rights in the places that are written to."""
    from huggingface_hub.constants import HF_HUB_CACHE

    places = [("work", work, "--work"), ("temporary files", tempfile.gettempdir(), "TMPDIR")]
    for what, place, option in [*places, ("models from the hub", HF_HUB_CACHE, "HF_HOME")]:
        if not store.is_local(place):
            continue
        folder = Path(place).expanduser().absolute()
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        subject = f"disk: {what}"
        if not os.access(folder, os.W_OK):
            yield Finding(subject, State.PROBLEM, f"cannot write to {folder}", f"mend its rights, or set {option}")
        elif free < DISK:
            yield Finding(subject, State.NOTE, f"{free / 1e9:.1f} GB free at {folder}", f"free some, or set {option}")
        else:
            yield ok(subject, f"{free / 1e9:.1f} GB free at {folder}")


def available(groups: Sequence[Path] = (Path("/sys/fs/cgroup"),)) -> float | None:
    """Bytes that may still be taken; None: not known. ``groups``: folders of control groups (version 2)."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    free = [float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for group in groups:
        try:
            limit, used = ((group / name).read_text("ascii").strip() for name in ("memory.max", "memory.current"))
        except OSError:
            continue
        if limit != "max":
            free.append(float(limit) - float(used))
    return min(free, default=None)
