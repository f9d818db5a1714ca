"""Runs before anything heavy is imported."""

import os
import sys

os.environ["ACME_PRESTARTED"] = "before torch" if "torch" not in sys.modules else "after torch"
