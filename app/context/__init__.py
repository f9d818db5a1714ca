"""What a node may do besides computing: models, files, progress, cancellation."""
