"""The web log during a run: brought up to date often, but at a small part of the run's time."""

from __future__ import annotations

import logging
import math
import time

from vlasscube.workspace.directory import Workspace

logger = logging.getLogger("vlasscube")

RENDER_EVERY = 50
"""Times that rendering takes until it is done again: it costs a fiftieth of the run's time."""


class WeblogUpkeep:
    """Renders the web log of a run under way; a failure is logged and harms nothing.

    Parameters
    ----------
    workspace : Workspace
        Run directory.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._rendered_s, self._took_s = -math.inf, 0.0

    def update(self) -> None:
        """Render, unless that was done shortly before compared with what it takes."""
        if time.monotonic() - self._rendered_s > RENDER_EVERY * self._took_s:
            self.finish()

    def finish(self) -> None:
        """Render in any case."""
        # The first rendering imports what takes longer than rendering.
        from vlasscube.weblog.render import render_weblog

        begin = time.monotonic()
        try:
            render_weblog(self._workspace)
        except Exception as error:  # the web log never harms products or exit status
            logger.warning("the web log could not be rendered: %s", error)
        self._rendered_s = time.monotonic()
        self._took_s = self._rendered_s - begin
