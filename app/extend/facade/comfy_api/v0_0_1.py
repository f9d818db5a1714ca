"""`comfy_api.v0_0_1`: an earlier state of the interface, served by the latest one."""

from app.extend.facade.comfy_api.latest import IO, UI, ComfyAPI, ComfyAPISync, ComfyExtension, io, ui

__all__ = ["IO", "UI", "ComfyAPI", "ComfyAPISync", "ComfyExtension", "io", "ui"]
