"""One row of a manifest, by its variation's id."""

from __future__ import annotations

from typing import Any

from pipeline.config import UserError
from pipeline.manifest.read import Manifest


def row_of(manifest: Manifest, variation_id: str) -> dict[str, Any]:
    """All columns of one variation; of the other rows only the ids are read, and one row group's pictures.

    Raises:
        UserError: The manifest has no such row.
    """
    for number in range(len(manifest.paths)):
        with manifest.open_part(number) as parquet:
            for group in range(parquet.num_row_groups):
                names = parquet.read_row_group(group, columns=["variation_id"], use_threads=False).column(0).to_pylist()
                if variation_id in names:
                    rows = parquet.read_row_group(group, use_threads=False)
                    row: dict[str, Any] = rows.slice(names.index(variation_id), 1).to_pylist()[0]
                    return row
    raise UserError(f"manifest {manifest.path}: has no variation {variation_id!r}; its column variation_id names them")
