"""The encoder: experts that spot pose and background, the subject head, the removal of their span, the aligner."""

from spotdiff_model.encoder.encoder import SpotDiffEncoder, Spotted

__all__ = ["SpotDiffEncoder", "Spotted"]
