"""`comfyui_version`: the version of the reference whose interface is served."""

__version__ = "0.3.64"
