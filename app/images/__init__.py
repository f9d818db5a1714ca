"""Pictures as tensors: files, what is written into them, sizes, masks and previews."""
