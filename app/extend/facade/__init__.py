"""The names that node packs for ComfyUI import, over this program's own modules.

`install.py` lets `import comfy.utils`, `import folder_paths` … find the modules of this package, in the process that
runs packs and nowhere else. `host.py` is what they all lean on.
"""
