"""What share of the attempts an earlier build accepted, from its manifest and its list of misses."""

from __future__ import annotations

from pipeline import store
from pipeline.arrow import open_parquet
from pipeline.config import Profile, UserError
from pipeline.manifest.read import Manifest
from pipeline.records import Status
from pipeline.runner.estimate import Rates


def rates_of(path: str, profile: Profile) -> Rates:
    """Reads the rates off a manifest.

    A manifest does not say at which attempt a subject was accepted; the share of slots that stayed empty after
    ``max_attempts`` tells the rate of one attempt.

    Args:
        path: The manifest.
        profile: Whose attempts count.

    Raises:
        UserError: Not a manifest with a list of misses, or one without rows.
    """
    manifest = Manifest(path)
    if not manifest.rows:
        raise UserError(f"--like {path}: it holds no rows, so it says nothing of what is accepted")
    accepted_attempts, subjects, sources = 0, set[tuple[str, str]](), set[str]()
    for batch in manifest.batches(("source_id", "subject_id", "attempt")):
        rows = batch.to_pydict()
        subjects |= set(zip(rows["source_id"], rows["subject_id"], strict=True))
        sources |= set(rows["source_id"])
        accepted_attempts += sum(rows["attempt"]) + len(rows["attempt"])
    missed = _missed(manifest.rejected_path)
    in_vain = sum(attempt + 1 for attempt in missed["variation"])
    empty = max(len(missed["subject"]), 0.5) / (len(subjects) + max(len(missed["subject"]), 0.5))
    return Rates(
        sources=len(sources) / (len(sources) + len(missed["source"])),
        subjects=1 - empty ** (1 / profile.subjects.max_attempts),
        variations=manifest.rows / (accepted_attempts + in_vain),
        origin=f"read off {path}",
    )


def _missed(path: str) -> dict[str, list[int]]:
    """By kind, the attempts of the rejected rows."""
    found: dict[str, list[int]] = {"source": [], "subject": [], "variation": []}
    try:
        with store.open_input(path) as file, open_parquet(file) as parquet:
            rows = parquet.read(columns=["kind", "status", "attempt"], use_threads=False).to_pylist()
    except OSError as error:
        raise UserError(f"--like: its list of misses {path} is not there: {error.strerror or error}") from error
    for row in rows:
        if row["status"] == Status.REJECTED and row["kind"] in found:
            found[row["kind"]].append(row["attempt"] or 0)
    return found
