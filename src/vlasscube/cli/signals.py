"""Ctrl-C and SIGTERM: the run ends, whatever it is doing, and says so."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from vlasscube.cli.console import true_stderr


class Interrupted(BaseException):
    """The user or the system asked the run to end."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_status = 128 + signal_number


INTERRUPTED_TEXT = "vlasscube: interrupted; run the same command again to resume."
GRACE_S = 5.0
"""Seconds that the main thread has to end after a signal."""


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Interrupted`, and make sure that the process ends.

    Python handles a signal only between two of its own instructions, and a CASA task may take hours until
    then. So a thread hears of the signal at once, and if the main thread has not ended after `GRACE_S` it
    stops the workers, says so and ends the process. That is safe at any moment: what stands under a final
    name is whole, and the lock ends with the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    watcher = threading.Thread(target=_watch, args=(receiver,), daemon=True)
    before: Mapping[int, Any] = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        # The watcher wakes at the end of its socket and finds that there is nothing left to do.
        sender.close()
        watcher.join(timeout=1.0)
        receiver.close()


@contextlib.contextmanager
def outliving_the_terminal() -> Iterator[None]:
    """Go on, and let the workers go on, when the terminal is closed: as under nohup.

    ``vlasscube status`` tells which process works in the directory.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _watch(receiver: socket.socket) -> None:
    from vlasscube.processes.parallel import stop_workers
    from vlasscube.workspace.run_state import note_forced_end

    wanted: int | None = None
    while wanted is None:
        heard = receiver.recv(1)
        if not heard:
            return
        if heard[0] in (signal.SIGINT, signal.SIGTERM):
            wanted = heard[0]
    receiver.settimeout(GRACE_S)
    with contextlib.suppress(TimeoutError):
        while receiver.recv(16):
            pass
        return
    stop_workers()
    note_forced_end(signal.Signals(wanted).name)
    with contextlib.suppress(Exception):
        stream = true_stderr()
        if stream is not None:
            # The live display has hidden the cursor.
            show_cursor = "\x1b[?25h" if stream.isatty() else ""
            print(f"{show_cursor}{INTERRUPTED_TEXT}", file=stream, flush=True)
    os._exit(128 + wanted)
