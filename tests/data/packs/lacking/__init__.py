"""A pack that needs what this program does not offer."""

import comfy.ldm.nowhere  # noqa: F401
