"""What a build uses: machine time, and energy where counters can be read.

Each process that works on a build notes what its machine used meanwhile, in a file of its own in the run's folder. The
manifest's footer has the sum. Counters are those of whole devices: what else ran on them is counted, too.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import store
from pipeline.config import UserError
from pipeline.runner.every import every

logger = logging.getLogger(__name__)
FOLDER = "usage"
POWERCAP = Path("/sys/class/powercap")
"""Linux' counters of Intel's and AMD's processors (RAPL); on most systems only root may read them."""
LOOK_SECONDS = 30.0
"""Between two looks: a processor's counter starts again after some minutes of full load."""
_NOTED_SECONDS = 1.0
"""A shorter run did next to nothing, and leaves no note."""


@dataclass(frozen=True)
class Meter:
    """A counter of a device's energy.

    Attributes:
        name: The device.
        read: Gives joules since some moment in the past.
        span: Where it starts again from 0, joules; None: nowhere.
    """

    name: str
    read: Callable[[], float]
    span: float | None = None


def meters() -> list[Meter]:
    """The counters that can be read here: of the GPUs that this process may use, and of the processors."""
    return [*_gpus(), *_processors()]


def _gpus() -> Iterator[Meter]:
    with suppress(Exception):  # no library, driver or permission: nothing is known
        import pynvml as nvml

        nvml.nvmlInit()
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = [str(number) for number in range(nvml.nvmlDeviceGetCount())] if chosen is None else chosen.split(",")
        for name in filter(None, map(str.strip, names)):
            with suppress(nvml.NVMLError):  # some cards, and parts of cards (MIG), count nothing
                by_number = name.isdigit()
                card = nvml.nvmlDeviceGetHandleByIndex(int(name)) if by_number else nvml.nvmlDeviceGetHandleByUUID(name)
                nvml.nvmlDeviceGetTotalEnergyConsumption(card)
                read = partial(_scaled, partial(nvml.nvmlDeviceGetTotalEnergyConsumption, card), 1e3)
                yield Meter(f"{nvml.nvmlDeviceGetName(card)} ({name})", read)


def _processors() -> Iterator[Meter]:
    for zone in sorted(POWERCAP.glob("intel-rapl:*")):
        with suppress(OSError, ValueError):
            name = (zone / "name").read_text().strip()
            counter, span = zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()) / 1e6
            int(counter.read_text())
            if name.startswith("package") or name == "dram":  # the rest is part of these
                yield Meter(f"{name} ({zone.name})", partial(_scaled, counter.read_text, 1e6), span)


def _scaled(read: Callable[[], str | int], unit: float) -> float:
    return int(read()) / unit


@dataclass
class _Note:
    """One process's share of the work, from when it began."""

    meters: Sequence[Meter]
    measured: bool
    began: float = field(default_factory=time.time)
    joules: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        for meter in self.meters:
            with suppress(Exception):
                now = meter.read()
                grown = now - self.last.get(meter.name, now)
                grown = max(grown if grown >= 0 else grown + (meter.span or 0), 0)
                self.joules[meter.name] = self.joules.get(meter.name, 0) + grown
                self.last[meter.name] = now

    def said(self) -> dict[str, Any]:
        joules = self.joules if self.measured and self.joules else None
        return {"host": socket.gethostname(), "began": self.began, "ended": time.time(), "joules": joules}


@contextmanager
def noting(root: str, here: bool = True) -> Iterator[None]:
    """Notes in the run's folder what is used as long as the block lasts.

    Args:
        root: The run's folder.
        here: Whether all the work is done on this machine; else its counters say little, and only time is noted.
    """
    note = _Note(meters() if here else (), here)
    path = store.join(root, FOLDER, f"{uuid.uuid4().hex}.json")

    def write() -> None:
        note.look()
        said = note.said()
        if said["ended"] - said["began"] >= _NOTED_SECONDS:
            try:
                store.write_bytes(path, json.dumps(said).encode())
            except (OSError, UserError) as error:  # the build itself has more to say of a full disk
                logger.warning("what the build uses is not noted: %s", error)

    note.look()
    try:
        with every(LOOK_SECONDS, write, "usage"):
            yield
    finally:
        write()


def used(root: str, price: float | None = None) -> dict[str, Any] | None:
    """The sum of a run's notes, for the footer; None where there are none.

    Args:
        root: The run's folder.
        price: Of a machine's hour.

    Returns:
        ``seconds`` of machine time (processes that shared a machine count once), ``runs``, ``joules`` by device or None
        where a run's are not known or two processes counted the same device at once, ``price`` and ``cost``.
    """
    notes = sorted(_notes(root), key=lambda note: (note["host"], note["began"]))
    if not notes:
        return None
    seconds, known = 0.0, True
    joules: dict[str, float] = {}
    host, busy_until = None, 0.0
    for note in notes:
        if note["host"] != host:
            host, busy_until = note["host"], 0.0
        known = known and note["joules"] is not None and note["began"] >= busy_until
        seconds += max(note["ended"] - max(note["began"], busy_until), 0)
        busy_until = max(busy_until, note["ended"])
        for name, value in (note["joules"] or {}).items():
            joules[name] = joules.get(name, 0) + value
    cost = None if price is None else round(price * seconds / 3600, 4)
    counted = {name: round(value, 1) for name, value in joules.items()} if known else None
    return {"seconds": round(seconds, 1), "runs": len(notes), "joules": counted, "price": price, "cost": cost}


def _notes(root: str) -> Iterator[dict[str, Any]]:
    for path in store.list_files(store.join(root, FOLDER), ".json"):
        try:
            said = json.loads(store.read_bytes(path))
            joules = said["joules"] and {str(name): float(value) for name, value in said["joules"].items()}
            times = {name: float(said[name]) for name in ("began", "ended")}
            yield {"host": str(said["host"]), "joules": joules, **times}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            logger.warning("%s is left out of what the build used: %s", path, error)
