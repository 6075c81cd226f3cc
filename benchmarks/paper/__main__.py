"""``python -m benchmarks.paper --manifest FILE``: tables 1 and 2, figures 1 and 5 to 8, efficiency, strengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, ConfigDict, Field

from pipeline.config import UserError, checked
from spotdiff_model.command import run, with_options

_PARTS = ("table1", "table2", "efficiency", "scale")


class PaperConfig(BaseModel):
    """One call of the command; descriptions are its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    manifest: str = Field(description="The dataset, with train, validation and test split.")
    output_dir: str = Field("work/paper", description="Gets trainings, evaluations, tables and figures; resumes there.")
    models_root: str | None = Field(None, description="Folder in hub layout that stands in for the hub.")
    small: bool = Field(False, description="Toy size: shows that all parts run, proves nothing.")
    pose_pictures: str | None = Field(
        None, description="As in training: further pictures with keypoints, for the pose expert of ours."
    )
    max_train_steps: int | None = Field(None, ge=1, description="Of each training; default: 3000, with --small 20.")
    seeds: str | None = Field(
        None,
        pattern=r"^\d+(,\d+)*$",
        description="Of each row's trainings, by commas; default: 0,1,2; --small: 0.",
    )
    search_steps: int | None = Field(
        None, ge=1, description="Of each of the five trials for a learning rate; default: a third of the training's."
    )
    subjects: int | None = Field(None, ge=1, description="Of whom pictures are asked for; default: 50.")
    pictures: bool = Field(True, description="Also judge pictures; without them an evaluation takes a fraction.")
    methods: str | None = Field(None, description="Only these methods in table 1, by commas.")
    rows: str | None = Field(None, description="Only these rows of table 1, by commas, e.g. elite-paired-frozen.")
    efficient: str | None = Field(None, description="Methods of the efficiency sweep, by commas.")
    denoising: bool = Field(
        True,
        description="Whether trainings of the efficiency sweep also learn to denoise; without, they take a fraction of "
        "the time, and only variants of ours can be trained.",
    )
    collect: bool = Field(False, description="Tables and figures of the runs that are there; trains nothing.")
    tables: str = Field(",".join(_PARTS), description="Which parts, by commas.")


def main(**options: Any) -> None:
    """Trains and evaluates every method, ablation and cut of the data, and makes tables and figures of them.

    What is there already is not done again, so stop it when you like. Hours; with --small minutes.
    """
    config = checked(PaperConfig, "paper", options)
    from dataclasses import replace

    from benchmarks.paper.figures import draw_all
    from benchmarks.paper.plan import FULL, SMALL, runs
    from benchmarks.paper.tables import table
    from benchmarks.paper.work import Paper, data_of
    from pipeline import store
    from spotdiff_model.data.rows import read_rows
    from spotdiff_model.methods import OURS

    parts: dict[str, list[Any]] = {name: [] for name in config.tables.split(",")}
    unknown = sorted(parts.keys() - set(_PARTS))
    if unknown:
        raise UserError(f"--tables {unknown[0]!r}: is none of {', '.join(_PARTS)}")
    effort = SMALL if config.small else FULL
    asked = {
        "steps": config.max_train_steps, "search_steps": config.search_steps, "subjects": config.subjects,
        "seeds": tuple(map(int, _listed(config.seeds))), "methods": _listed(config.methods),
        "rows": _listed(config.rows), "efficient": _listed(config.efficient),
    }  # fmt: skip
    given = {name: value for name, value in asked.items() if value}
    effort = replace(effort, pictures=config.pictures, denoising=config.denoising, **given)
    drawing = sorted(set(effort.efficient) - set(OURS))
    if "efficiency" in parts and drawing and not effort.denoising:
        raise UserError(f"--no_denoising: {drawing[0]} learns nothing without; choose --efficient {','.join(OURS)}")
    folder = Path(config.output_dir)
    paper = Paper(
        config.manifest, folder, effort, config.models_root, lambda text: typer.echo(f"... {text}", err=True),
        config.pose_pictures,
    )  # fmt: skip
    paper.begin()
    for each in runs(effort):
        if each.group in parts:
            found = paper.found(each) if config.collect else paper.done(each)
            if found is not None:
                parts[each.group].append((each, found))
    head = f"On {data_of(config.manifest)}, {effort.steps} steps; seeds count from 0."
    if config.pose_pictures:
        head += f" The pose expert of ours also learns from `{config.pose_pictures}`."
    for name, results in parts.items():
        if name != "scale" and results:
            how = " Nothing learned to denoise." if name == "efficiency" and not effort.denoising else ""
            text = f"{head}{how}\n\n{table(results, reads=name == 'table1')}\n"
            store.write_bytes(str(folder / f"{name}.md"), text.encode())
            typer.echo(f"{name}\n\n{text}")
    pictures = len(read_rows(config.manifest).of_split("train"))
    figures = draw_all(*(parts.get(name, []) for name in ("table1", "efficiency", "scale")), folder, pictures)
    typer.echo(f"figures: {', '.join(path.name for path in figures)} in {folder}")


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


if __name__ == "__main__":
    run(with_options(PaperConfig, main))
