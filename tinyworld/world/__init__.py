"""The miniature world: articulated figures of known identity, pose, mask and place."""

from .background import KINDS, Background
from .banks import background_bank, subject_bank
from .export import export
from .figure import draw_figure
from .identity import Identity
from .pose import Pose, sample_pose
from .render import Render, Scene, render, render_seed, sample_scene

__all__ = [
    "KINDS",
    "Background",
    "Identity",
    "Pose",
    "Render",
    "Scene",
    "background_bank",
    "draw_figure",
    "export",
    "render",
    "render_seed",
    "sample_pose",
    "sample_scene",
    "subject_bank",
]
