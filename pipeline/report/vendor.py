"""Fetches the chart libraries that reports carry from npm, pinned and proved: ``python -m pipeline.report.vendor``.

Run it after changing a version in ``assets/vendor/vendor.json``; a file's ``sha256`` is written there when it is new,
and compared from then on. npm checks each package against its registry's hash.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "assets" / "vendor"
LOCK = FOLDER / "vendor.json"
LICENSES = FOLDER / "LICENSES.txt"


def fetch(lock: dict[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """Downloads what the lock names; gives the lock with the hashes of what is new in it.

    Raises:
        ValueError: A file is another one than the lock says.
    """
    licenses = []
    with tempfile.TemporaryDirectory() as scratch:
        for package, pinned in lock.items():
            asked = f"{package}@{pinned['version']}"
            command = ["npm", "pack", "--silent", "--pack-destination", scratch, asked]
            name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]
            with tarfile.open(Path(scratch) / name) as archive:
                data = _member(archive, pinned["path"])
                licenses.append(f"{asked} ({pinned['license']})\n\n{_member(archive, 'LICENSE').decode().strip()}\n")
            sha256 = hashlib.sha256(data).hexdigest()
            if pinned.setdefault("sha256", sha256) != sha256:
                raise ValueError(f"{asked}: {pinned['path']} has sha256 {sha256}, the lock says {pinned['sha256']}")
            (folder / pinned["file"]).write_bytes(data)
    (folder / LICENSES.name).write_text("\n\n".join(licenses), "utf-8")
    return lock


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise ValueError(f"{name}: not a file of the package")
    return file.read()


def main() -> int:
    """Fetches and writes the lock again."""
    lock = fetch(json.loads(LOCK.read_text("utf-8")))
    LOCK.write_text(json.dumps(lock, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
