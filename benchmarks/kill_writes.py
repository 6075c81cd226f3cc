"""Kills writes of a manifest at random moments while somebody reads it: what is seen is the old one or the new, whole.

    python benchmarks/kill_writes.py [--kills 20] [--rows 400] [--where disk s3] [--seed 0]

Two manifests with different rows take turns under one name, now as one file, now as parts. Each writer is a process of
its own, stopped with SIGKILL: half of them at any moment, half when the first finished file has been put in its place.
Another process opens the manifest all the time and proves it: each row, and the list of misses that belongs to it.
Prints a line for each pair of forms: kills, how many of them met a writer that was placing, how often the reader saw
the old and the new one or was told to start again, and false sights, which also make it exit with 1. ``s3`` is moto's
server on loopback.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline import store
from pipeline.config import UserError
from pipeline.manifest.digest import RowsDigest, canonical_columns
from pipeline.manifest.parts import PartsWriter
from pipeline.manifest.read import Manifest
from pipeline.manifest.rejected import RejectedWriter, sha256_of
from pipeline.manifest.schema import FORMAT, PICTURES, REJECTED_SCHEMA, SCHEMA
from pipeline.manifest.staged import Staged

_SIZES = {"parts": 600_000, "one file": 1 << 40}
_PICTURE = 3000
_LINE = "%-6s%-10s%-10s%6s%9s%6s%6s%7s%7s%6s"
PROCESSES = multiprocessing.get_context("forkserver")
"""Of one that has imported everything, so that kills meet the writing and not the start."""
_SERVER = """
from moto.server import ThreadedMotoServer
import threading
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""


def main() -> int:
    arguments = _arguments()
    PROCESSES.set_forkserver_preload(["s3fs", "rich.console", "pipeline.manifest.rejected", "pipeline.manifest.read"])
    console = Console(soft_wrap=True)
    console.print(_LINE % ("where", "from", "to", "kills", "placing", "old", "new", "again", "false", "s"))
    wrong = 0
    with ExitStack() as stack:
        folders = [stack.enter_context(place(where)) for where in arguments.where]  # before the first process
        for folder, before, after in product(folders, _SIZES, _SIZES):
            begun = time.monotonic()
            line = series(f"{folder}/{before[:3]}-{after[:3]}/v1.parquet", before, after, arguments)
            wrong += line[-1]
            where = "disk" if store.is_local(folder) else "s3"
            console.print(_LINE % (where, before, after, *line, round(time.monotonic() - begun)))
    return 1 if wrong else 0


def series(path: str, before: str, after: str, arguments: argparse.Namespace) -> tuple[int, ...]:
    """Kills, kills while placing, old seen, new seen, told to start again, anything else seen."""
    dice = random.Random(arguments.seed)
    write(path, "old", arguments.rows, before)
    old = prove(path)
    begun = time.monotonic()
    process, placed = _writer(path, "new", arguments.rows, after)
    process.join()
    whole = time.monotonic() - begun
    new = prove(path)
    write(path, "old", arguments.rows, before)
    folder = Path(tempfile.mkdtemp(prefix="spotdiff-kills-"))
    reader = PROCESSES.Process(target=watch, args=(path, folder))
    reader.start()
    placing = 0
    for number in range(arguments.kills):
        names = ("new", after) if number % 2 == 0 else ("old", before)
        process, placed = _writer(path, names[0], arguments.rows, names[1])
        if number % 4 in (0, 3):
            time.sleep(dice.uniform(0, 1) * whole)
        else:
            placed.poll(60)  # it has begun to place
            time.sleep(dice.uniform(0, 0.02))
            placing += process.is_alive()
        process.kill()
        process.join()
    (folder / "stop").touch()
    reader.join()
    seen = Counter((folder / "seen").read_text().split("\n")[:-1])
    shutil.rmtree(folder)
    for said in seen.keys() - {old, new, "again"}:
        Console(stderr=True, soft_wrap=True).print(said, markup=False)
    write(path, "new", arguments.rows, after)
    left = files(path) - {*Manifest(path).paths, Manifest(path).rejected_path}
    again = seen.pop("again", 0)
    right = seen.pop(old, 0), seen.pop(new, 0)
    return arguments.kills, placing, *right, again, seen.total() + len(left) + (reader.exitcode != 0)


def write(path: str, name: str, rows: int, form: str, placed: Connection | None = None) -> None:
    """Writes a manifest of made-up rows whose content the name settles; tells ``placed`` of each file in its place."""
    if placed:
        place_file = Staged.place

        def place(self: Staged, url: str) -> None:
            place_file(self, url)
            placed.send(url)

        Staged.place = place  # type: ignore[method-assign]
    writer = PartsWriter(path, {"format": FORMAT, "name": name}, _SIZES[form])
    rejected = RejectedWriter(path, writer.generation)
    noise = random.Random(name)
    empty = dict.fromkeys(SCHEMA.names)
    for number in range(rows):
        ids = {"variation_id": f"{name}{number:06d}", "attempt": number}
        pictures = {of: {"bytes": noise.randbytes(_PICTURE), "path": "x.png"} for of in PICTURES}
        writer.add({**empty, **ids, **pictures})
        rejected.add_values(
            {**dict.fromkeys(REJECTED_SCHEMA.names), "kind": "source", "status": "failed", "path": name}
        )
    writer.close({"rejected": rejected.close()})


def watch(path: str, folder: Path) -> None:
    """Opens and proves the manifest until ``folder/stop`` is there; writes down each time what it saw, a line each."""
    with (folder / "seen").open("w") as seen:
        while not (folder / "stop").exists():
            try:
                said = prove(path)
            except UserError as error:
                said = "again" if "start again" in str(error) else f"UserError: {error}"
            except (OSError, AssertionError, ValueError) as error:
                said = f"{type(error).__name__}: {error}"
            seen.write(" ".join(said.split()) + "\n")


def prove(path: str) -> str:
    """The digest of the manifest, once all of its rows and its list of misses were held against it."""
    manifest = Manifest(path)
    digest = RowsDigest()
    for batch in manifest.batches():
        digest.add_columns(canonical_columns(batch))
    said: dict[str, Any] = manifest.footers[-1]
    assert digest.value == manifest.digest == said["total"]["digest"]
    try:
        with store.open_input(manifest.rejected_path) as file:
            assert sha256_of(file) == said["rejected"]["sha256"]
    except FileNotFoundError as error:
        raise UserError("the list went with its manifest; start again") from error
    return digest.value


def files(path: str) -> set[str]:
    """All files at and beside the manifest, hidden ones too."""
    fs, folder = store.filesystem(path.rpartition("/")[0])
    return {name if store.is_local(path) else f"s3://{name}" for name in fs.find(folder)}


@contextmanager
def place(where: str) -> Iterator[str]:
    """A folder on disk, or a bucket of a server on loopback."""
    if where == "disk":
        with tempfile.TemporaryDirectory(prefix="spotdiff-kills-") as folder:
            yield folder
        return
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        secrets = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update({"AWS_ENDPOINT_URL": address, **secrets})
        store.filesystem("s3://kills/x")[0].mkdir("kills")
        yield "s3://kills"
    finally:
        server.terminate()
        server.wait()


def _writer(path: str, name: str, rows: int, form: str) -> tuple[ForkServerProcess, Connection]:
    """A process that writes, and where it tells what it has put in place."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=write, args=(path, name, rows, form, there))
    process.start()
    there.close()
    return process, here


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="for each pair of forms")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--where", nargs="+", choices=["disk", "s3"], default=["disk", "s3"])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
