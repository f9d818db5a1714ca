"""`comfy_extras.chainner_models`: where packs of old load upscalers from."""
