"""Hypothesis explores anew on each run at a desk; in continuous integration it repeats itself."""

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("repeatable")
