"""A model's exam: held-out prompts, its pictures, and how much of them is right."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from app.training.scenes.judge import Scores, exam, score
from app.training.scenes.painter import Painter


@dataclass(frozen=True, slots=True)
class Examination:
    """What was asked, what was drawn, (B, 3, P, P) in 0..1, and the scores."""

    prompts: list[str]
    images: Tensor
    scores: Scores


def examine(painter: Painter, count: int = 256) -> Examination:
    """Draw `count` prompts whose combinations were never trained, and read the pictures."""
    asked = exam(count)
    prompts = [prompt for _, prompt in asked]
    images = painter.paint(prompts)
    return Examination(prompts, images, score([scene for scene, _ in asked], images))
