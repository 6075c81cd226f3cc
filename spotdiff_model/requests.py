"""``python -m spotdiff_model.requests --manifest FILE``: the list of pictures that a generator is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, ConfigDict, Field

from pipeline.config import checked
from spotdiff_model.command import run, with_options


class RequestsConfig(BaseModel):
    """One call of the command; descriptions are its help."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: str = Field(description="The dataset: file, or folder of parts.")
    split: str = Field("test", description="Whose subjects, poses and backgrounds: test, validation or train.")
    output_dir: str = Field("work/requests", description="Gets requests.jsonl and the pictures that it names.")
    subjects: int = Field(50, ge=1, description="Subjects of the split, at most.")
    backgrounds: int = Field(4, ge=0, description="New backgrounds per subject.")
    poses: int = Field(4, ge=0, description="New poses per subject.")
    edits: int = Field(1, ge=0, description="Attribute edits per subject.")
    seed: int = Field(0, ge=0, description="Settles what is drawn, and the seeds of the pictures.")


def main(**options: Any) -> None:
    """Writes what is asked of a generator: references, prompts, poses, seeds, a line for each picture.

    Put the picture of each line under its id into a folder, and have them judged:
    python -m spotdiff_model.evaluate --pictures FOLDER --requests requests.jsonl --manifest FILE
    """
    config = checked(RequestsConfig, "requests", options)
    from pipeline.manifest.read import Manifest
    from spotdiff_model.config import profile_of
    from spotdiff_model.evaluation.generation.request_list import write_requests
    from spotdiff_model.evaluation.generation.requests import RequestSettings, make_requests
    from spotdiff_model.evaluation.probes.factors import read_sample

    manifest = Manifest(config.manifest)
    profile = profile_of(manifest.footer, config.manifest)
    settings = RequestSettings(config.subjects, config.backgrounds, config.poses, config.edits)
    requests = make_requests(read_sample(config.manifest, config.split), settings, config.seed)
    path = write_requests(
        requests,
        Path(config.output_dir),
        manifest_digest=manifest.digest,
        split=config.split,
        line_width=profile.poses.line_width,
    )
    known = sum(request.truth is not None for request in requests)
    typer.echo(f"{path}: {len(requests)} pictures are asked for; the dataset has the true picture of {known}")


if __name__ == "__main__":
    run(with_options(RequestsConfig, main))
