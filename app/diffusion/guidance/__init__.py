"""Guidance: denoisers made of denoisers."""

from app.diffusion.guidance.classifier_free import (
    Guided,
    Pair,
    blend,
    classifier_free,
    paired,
    rescaled,
)

__all__ = ["Guided", "Pair", "blend", "classifier_free", "paired", "rescaled"]
