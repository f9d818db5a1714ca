"""Tells what its prestart script saw."""

import os


class WhenStarted:
    CATEGORY = "prestart"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "tell"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def tell(self):
        return (os.environ["ACME_PRESTARTED"],)


NODE_CLASS_MAPPINGS = {"prestart.When": WhenStarted}
