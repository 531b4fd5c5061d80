"""Running the command as a user does."""

import signal
import subprocess
import sys
import time

from vlasscube.workspace.files import digest


def command(*arguments):
    return [sys.executable, "-m", "vlasscube.cli", *map(str, arguments)]


def input_digests(workspace):
    inputs = [workspace.input_ms, workspace.resources_archive]
    inputs += [workspace.seip_parameter_file, workspace.ccip_parameter_file]
    return {path.name: digest(path) for path in inputs}


def kill_when(workspace, environment, condition, *options, timeout_s=600.0):
    """Run the command and kill its process, and nothing else, as soon as the condition holds."""
    process = subprocess.Popen(
        command("run", workspace.directory, *options),
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # the workers follow their parent
