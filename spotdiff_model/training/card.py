"""The model card that is saved with an encoder."""

from __future__ import annotations

from typing import Any

from spotdiff_model.config import EncoderConfig

TEMPLATE = """---
{{ card_data }}
---

# SpotDiff encoder

Turns one picture of a subject into {{ num_pseudo_tokens }} pseudo-tokens for the placeholder `S*` of a prompt, with the
subject's pose and background taken out. Our reconstruction of SpotDiff (arXiv 2510.07340), of which only the abstract
is known to us: layers, losses and settings are our own.

| | |
|---|---|
{%- for role, model in models %}
| {{ role }} | `{{ model.repo }}`{% if model.revision %} at `{{ model.revision }}`{% endif %}, {{ model.license }} |
{%- endfor %}
| trained on | manifest with digest `{{ manifest_digest }}` |

## Use

```python
from spotdiff_model import SpotDiffPipeline

pipe = SpotDiffPipeline.{{ loaded }}
pipe(picture, prompt="S*, on a beach").images[0]
```
{%- if recipe %}

```bash
python -m spotdiff_model.generate --image me.png --prompt "S*, on a beach by day"
```

## Recipe

```bash
{{ recipe }}
```
{% endif %}
{%- if figures %}
## Figures

Measured on split {{ data.split }} ({{ data.rows }} pictures, {{ data.subjects }} subjects, {{ data.poses }} poses)
of the manifest with digest `{{ data.digest }}`.

| what | measured | must reach | aim | |
|---|---|---|---|---|
{%- for line in figures %}
| {{ line | join(" | ") }} |
{%- endfor %}
{% endif %}
{%- if metrics %}
## Metrics

| what | value |
|---|---|
{%- for name, value in metrics.items() %}
| {{ name }} | {{ value }} |
{%- endfor %}
{% endif %}
{%- if losses %}
## Losses at the end of training

| part | value |
|---|---|
{%- for name, value in losses.items() %}
| {{ name }} | {{ "%.4g" % value }} |
{%- endfor %}
{% endif %}
{%- if train_config %}
## Training

```json
{{ train_config | tojson(indent=1) }}
```
{% endif %}
"""


def describe(config: EncoderConfig) -> dict[str, Any]:
    """What the template takes from an encoder's config."""
    models = [(role, model) for role, model in config.models if model is not None]
    return {
        "models": models,
        "num_pseudo_tokens": config.num_pseudo_tokens,
        "manifest_digest": config.manifest_digest,
        "loaded": 'from_encoder("FOLDER")',
    }
