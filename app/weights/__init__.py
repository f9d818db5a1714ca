"""Files to tensors and back: headers, checkpoints, families."""
