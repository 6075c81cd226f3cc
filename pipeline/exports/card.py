"""The data card: what a dataset is, how it was made, what it is fit for. Filled from the run; nothing is left open.

The same paragraphs stand in the card (``README.md``, with the hub's YAML header) and in Croissant's RAI fields.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.exports.stats import Stats, stats
from pipeline.manifest.read import Manifest

TOPICS = (
    "summary", "composition", "made", "preprocessing", "judged", "rejected", "limits", "biases", "intended", "unfit",
    "personal", "synthetic", "rights", "social", "maintenance",
)  # fmt: skip
"""The paragraphs, each a template in ``templates/``."""
PAPER = "arXiv:2510.07340"
_CODE = "SpotDiff10k's pipeline"
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What no run can know.

    Attributes:
        license: The dataset's own, an SPDX id or name; None: each picture has its source's, which the card says.
        creator: Who publishes it; None: the code that made it is named.
        url: Where it is to be found; None: it is named by its digest.
    """

    license: str | None = None
    creator: str | None = None
    url: str | None = None

    @property
    def said(self) -> dict[str, str]:
        """What was given."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Facts:
    """What the papers say of a manifest.

    Attributes:
        manifest: The manifest.
        stats: Its numbers.
        models: Those of the footer, each with what is known of it (``origin``, ``biases``, empty where nothing is).
        given: What the user said.
        split: Whether only one split was handed on.
    """

    manifest: Manifest
    stats: Stats
    models: Sequence[Mapping[str, Any]]
    given: Given
    split: str | None = None

    @property
    def name(self) -> str:
        """What the dataset is called."""
        return f"spotdiff10k-{self.footer.get('run') or Path(self.manifest.path).stem}"

    @property
    def footer(self) -> dict[str, Any]:
        return self.manifest.footer

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def creator(self) -> str:
        return self.given.creator or f"{_CODE}, version {self.footer.get('code_version', 'unknown')}"

    @property
    def licences(self) -> list[str]:
        """Of the sources."""
        return [str(name) for name in self.stats.rights.index]

    def total(self, column: str) -> int:
        """Over all splits: ``rows``, ``sources``, ``subjects`` …."""
        return int(self.stats.splits[column]["all"])

    @property
    def biases(self) -> dict[str, list[str]]:
        """What is known of the models' biases, each with the models that it is known of."""
        found: dict[str, list[str]] = {}
        for model in self.models:
            found.setdefault(model["biases"], []).append(f"{model['role']} ({model['repo']})")
        return found

    @property
    def misses(self) -> int:
        return int(self.stats.rejected["count"].sum())

    @functools.cached_property
    def texts(self) -> dict[str, str]:
        """The paragraphs of :data:`TOPICS`."""
        return {topic: " ".join(self._render(f"{topic}.txt.j2").split()) for topic in TOPICS}

    def readme(self, configs: Sequence[Mapping[str, Any]], files: Mapping[str, tuple[int, str]], layout: str) -> str:
        """The card.

        Args:
            configs: Which files are which split, as the hub's YAML header says it.
            files: Size and sha256 by path.
            layout: How they are laid out, a sentence.
        """
        from huggingface_hub import DatasetCardData

        header = DatasetCardData(**self._header(configs)).to_yaml()
        return f"---\n{header}\n---\n\n{self._render('README.md.j2', files=files, layout=layout)}"

    def _header(self, configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        licence: dict[str, Any] = {"license": "other", "license_name": "that-of-each-source", "license_link": "#rights"}
        if self.given.license:
            licence = {"license": self.given.license}
        rows = self.total("rows")
        return {
            **licence,
            "pretty_name": self.name,
            "language": ["en"],
            "task_categories": ["text-to-image", "image-to-image"],
            "tags": [
                "synthetic",
                "subject-driven-generation",
                "controlnet",
                "inpainting",
                "disentanglement",
                "croissant",
            ],
            "size_categories": [next((name for limit, name in _SIZES if rows < limit), "n>10M")],
            "annotations_creators": ["machine-generated"],
            "configs": [dict(config) for config in configs],
        }

    def _render(self, name: str, **more: Any) -> str:
        return _templates().get_template(name).render(facts=self, footer=self.footer, stats=self.stats, **more)


def facts_of(manifest: Manifest, given: Given, split: str | None = None) -> Facts:
    """Gathers them; reads no pictures."""
    models = manifest.footer.get("models") or []
    return Facts(manifest, stats(manifest, split), [{**model, **_known(model)} for model in models], given, split)


def _known(model: Mapping[str, Any]) -> dict[str, str]:
    repo, role = str(model.get("repo", "")), model.get("role")
    for note in _notes():
        if note["repo"].lower() in repo.lower() and role in note.get("roles", [role]):
            return {"origin": note["origin"], "biases": note["biases"]}
    return {"origin": "", "biases": ""}


@functools.cache
def _notes() -> list[dict[str, Any]]:
    text = (Path(__file__).parent / "model_notes.toml").read_text("utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)["note"]
    return found


@functools.cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("pipeline.exports", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["cell"] = cell
    return found


def cell(value: object) -> str:
    """A value of the data's inside Markdown: one line, and neither markup nor HTML."""
    text = " ".join(str(value).split())
    for sign, harmless in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("`", "&#96;")):
        text = text.replace(sign, harmless)
    for sign in "[]*_":
        text = text.replace(sign, f"\\{sign}")
    return text
