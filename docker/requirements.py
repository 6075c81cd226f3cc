"""Prints what the project stands on, for ``pip install -r``: its dependencies and those of the extras named.

For the image alone, so that its largest layer does not change with each line of code: ``requirements.py s3,ray``.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
wanted = [*project["dependencies"]]
for extra in filter(None, sys.argv[1].split(",")):
    wanted += project["optional-dependencies"][extra]
sys.stdout.write("\n".join(wanted) + "\n")
