"""Training: procedural data, losses, moving averages and trainers as generators."""
