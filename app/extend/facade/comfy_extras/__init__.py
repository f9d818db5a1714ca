"""`comfy_extras`: its modules of node classes are served by name; see `install.py`."""
