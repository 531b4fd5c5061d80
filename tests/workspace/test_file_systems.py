"""File systems that cannot do what others can: no locks, no reservation, files that stay until closed.

A library in front of the C library answers as such a file system would.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from vlasscube.errors import WorkspaceError, WorkspaceLockedError
from vlasscube.workspace import files, locks
from vlasscube.workspace.file_systems import FileSystem, file_system, locking_hint
from vlasscube.workspace.files import remove, reserve
from vlasscube.workspace.locks import held, present_owner, require_table_locks, this_process

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>

static int refused(const char *variable) {
    const char *number = getenv(variable);
    if (!number) return 0;
    errno = atoi(number);
    return 1;
}
int flock(int descriptor, int operation) {
    if (refused("NO_FLOCK")) return -1;
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
}
static int locking(const char *name, int descriptor, int command, void *argument) {
    int is_lock = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
    if (is_lock && refused("NO_FCNTL")) return -1;
    return ((int (*)(int, int, void *))dlsym(RTLD_NEXT, name))(descriptor, command, argument);
}
int fcntl(int descriptor, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return locking("fcntl", descriptor, command, argument);
}
int fcntl64(int descriptor, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return locking("fcntl64", descriptor, command, argument);
}
int fallocate64(int descriptor, int mode, off64_t offset, off64_t size) {
    if (refused("NO_FALLOCATE")) return -1;
    return ((int (*)(int, int, off64_t, off64_t))dlsym(RTLD_NEXT, "fallocate64"))(
        descriptor, mode, offset, size);
}
int posix_fallocate(int descriptor, off_t offset, off_t size) { abort(); }
int posix_fallocate64(int descriptor, off64_t offset, off64_t size) { abort(); }
"""

CODES = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """The library, as the environment that puts it in front."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    place = tmp_path_factory.mktemp("shim")
    (place / "shim.c").write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-o", place / "shim.so", place / "shim.c", "-ldl"]
    subprocess.run(command, check=True)
    return {**os.environ, "LD_PRELOAD": str(place / "shim.so")}


def python(environment, text, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


# ---------------------------------------------------------------------------------------------- what it is

MOUNTS = """22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:40 / /lustre rw - lustre mgs@tcp:/aoc rw,seclabel
41 40 0:41 / /lustre/home rw - nfs4 server:/home rw,vers=4.2
42 22 0:42 / /my\\040disk rw - fuse.sshfs host:/ rw
43 22 0:43 / /tmp rw - tmpfs tmpfs rw
44 22 0:44 / /tmp rw - xfs /dev/sdb rw
rubbish
"""


@pytest.mark.parametrize(
    ("path", "kind", "point"),
    [
        ("/lustre/aoc/x", "lustre", "/lustre"),
        ("/lustre/home/me", "nfs4", "/lustre/home"),
        ("/lustrous", "ext4", "/"),
        ("/my disk/run", "fuse.sshfs", "/my disk"),
        ("/tmp/x", "xfs", "/tmp"),
    ],
)
def test_the_file_system_of_a_path(tmp_path, monkeypatch, path, kind, point):
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr("os.path.realpath", str)
    assert file_system(Path(path), tmp_path / "mountinfo") == FileSystem(kind, point)


def test_a_file_system_that_cannot_be_told(tmp_path):
    assert str(file_system(tmp_path, tmp_path / "nowhere")) == "unknown file system"
    assert file_system(tmp_path).mount_point


def test_each_file_system_has_its_mount_option():
    assert "-o flock" in locking_hint("lustre")
    assert "local_lock" in locking_hint("nfs4")
    assert "nolock" in locking_hint("nfs")
    assert "-o flock" in locking_hint("fuse.sshfs")


# -------------------------------------------------------------------------------------------- without flock

HOLD = """
    import sys, time
    from pathlib import Path
    from vlasscube.workspace.locks import held
    with held(Path(sys.argv[1]) / "lock", "DIR", steal=False) as before:
        print("held", flush=True)
        if sys.argv[2:]:
            time.sleep(60)
"""


@pytest.fixture
def no_flock(monkeypatch):
    """This process without flock."""

    def refuse(stream, kind):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    monkeypatch.setattr(locks, "_told", set())


@pytest.mark.parametrize("code", CODES)
def test_a_lock_without_flock_warns_and_holds(tmp_path, shim, code):
    environment = {**shim, "NO_FLOCK": str(code)}
    result = python(environment, HOLD, tmp_path)
    assert (result.returncode, result.stdout) == (0, "held\n")
    for text in (str(tmp_path), file_system(tmp_path).kind, os.strerror(code), "-o flock", "--steal-lock"):
        assert text in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    command = [sys.executable, "-c", textwrap.dedent(HOLD), tmp_path, "stay"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        second = python(environment, HOLD, tmp_path)
        assert f"DIR is in use by process {holder.pid} on " in second.stderr
        # Nor can one that has flock take it, as on a machine with another mount option.
        third = python(os.environ, HOLD, tmp_path)
        assert f"process {holder.pid} on " in third.stderr
        assert present_owner(tmp_path / "lock").pid == holder.pid
        holder.kill()
    # Of a process of this machine it is seen that it has ended.
    assert python(environment, HOLD, tmp_path).stdout == "held\n"
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_other_errors_of_locks_are_errors(tmp_path, shim):
    result = python({**shim, "NO_FLOCK": str(errno.EIO)}, HOLD, tmp_path)
    assert "Input/output error" in result.stderr
    assert result.returncode == 1


def foreign_lock(path, **changes):
    """The lock file of a process somewhere else."""
    facts = {"host": "node7", "boot_id": "another boot", "pid": 1} | changes
    owner = replace(this_process(), **facts)
    path.touch()
    path.with_name(f"{path.name}.exclusive").write_text(json.dumps(asdict(owner)))
    return owner


@pytest.mark.usefixtures("no_flock")
def test_the_lock_file_of_another_machine_is_believed(tmp_path):
    path = tmp_path / "lock"
    owner = foreign_lock(path)
    with (
        pytest.raises(WorkspaceLockedError, match="may be in use by process 1 on node7") as caught,
        held(path, "DIR", steal=False),
    ):
        pass
    assert "--steal-lock" in caught.value.hint
    assert present_owner(path) == owner
    with held(path, "DIR", steal=True):
        assert present_owner(path).pid == os.getpid()
    assert present_owner(path) is None


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize(
    ("changes", "is_gone"),
    [
        ({"start_ticks": "1"}, True),
        ({"pid": 2**22 + 1}, True),
        ({"boot_id": "earlier", "start_ticks": "1"}, True),
        ({"pid_namespace": "pid:[1]", "pid": 2**22 + 1}, False),
        ({"host": "node7", "boot_id": "", "pid": 2**22 + 1}, False),
    ],
    ids=["number used again", "ended", "earlier boot", "another container", "another machine"],
)
def test_whether_an_owner_has_ended(tmp_path, changes, is_gone):
    me = this_process()
    path = tmp_path / "lock"
    foreign_lock(path, **{"host": me.host, "boot_id": me.boot_id, "pid": os.getpid()} | changes)
    assert (present_owner(path) is None) == is_gone
    if is_gone:
        with held(path, "DIR", steal=False):
            assert present_owner(path) is not None
    else:
        with pytest.raises(WorkspaceLockedError), held(path, "DIR", steal=False):
            pass


@pytest.mark.usefixtures("no_flock")
def test_a_living_process_is_never_robbed(tmp_path):
    path = tmp_path / "lock"
    with (
        held(path, "DIR"),
        pytest.raises(WorkspaceLockedError, match=f"in use by process {os.getpid()}"),
        held(path, "DIR", steal=True),
    ):
        pass
    assert not path.with_name("lock.exclusive").exists()


@pytest.mark.usefixtures("no_flock")
def test_planes_that_were_left_are_taken_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PLANE_PATIENCE_S", 0.3)
    (tmp_path / "spw2").mkdir()
    (tmp_path / "spw2" / "lock").touch()
    foreign_lock(tmp_path / "spw2" / "lock")
    locks.wait_for_planes(tmp_path)
    foreign_lock(tmp_path / "spw2" / "lock")
    with locks.plane_lock(tmp_path, "spw2"):
        pass
    assert [path.name for path in (tmp_path / "spw2").iterdir()] == ["lock"]


def test_a_lock_file_that_was_taken_meanwhile_is_given_back(tmp_path):
    path = tmp_path / "lock"
    seen = foreign_lock(path, pid=1)
    newer = foreign_lock(path, pid=2)
    place = tmp_path / "lock.exclusive"
    locks._break_lock_file(place, seen)
    assert locks._owner_in(place) == newer
    assert sorted(tmp_path.iterdir()) == [path, place]


# -------------------------------------------------------------------------------------- without fcntl's locks


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("where", ["working", "input.ms"])
def test_casa_needs_locks_of_its_own(tmp_path, monkeypatch, code, where):
    for name in ("working", "input.ms"):
        (tmp_path / name).mkdir()
    (tmp_path / "input.ms" / "table.lock").touch()

    def lockf(stream, kind):
        if where in str(stream.name):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.fcntl, "lockf", lockf)
    with pytest.raises(WorkspaceError) as caught:
        require_table_locks(tmp_path / "working", [tmp_path / "input.ms"])
    for text in (str(tmp_path / where), file_system(tmp_path).kind, os.strerror(code), "fcntl"):
        assert text in caught.value.message
    assert "-o flock" in caught.value.hint
    assert list((tmp_path / "working").iterdir()) == []


def test_locks_that_are_there_are_enough(tmp_path):
    (tmp_path / "input.ms").mkdir()
    require_table_locks(tmp_path, [tmp_path / "input.ms", tmp_path / "nowhere.ms"])


@pytest.mark.casa
@pytest.mark.parametrize("code", CODES)
def test_to_look_needs_no_locks(tmp_path, shim, small_ms, code):
    """A measurement set can be read, as `plan` does, and tables of images, as `weblog` does."""
    text = """
        import sys
        from pathlib import Path
        from vlasscube import casacore_tables
        from vlasscube.measurement_set.inspection import inspect_measurement_set
        path = Path(sys.argv[1])
        print(len(inspect_measurement_set(path).fields))
        with casacore_tables.table(path) as table:
            print(table.nrows() > 0)
    """
    plain = python(os.environ, text, small_ms)
    without = python({**shim, "NO_FLOCK": str(code), "NO_FCNTL": str(code)}, text, small_ms)
    assert without.returncode == 0, without.stderr
    assert without.stdout == plain.stdout


# ---------------------------------------------------------------------------------------- without reservation

RESERVE = """
    import sys
    from vlasscube.workspace.files import reserve
    with open(sys.argv[1], "wb") as stream:
        reserve(stream, int(sys.argv[2]))
        stream.write(b"x" * 10)
"""


def test_room_is_set_aside(tmp_path):
    with (tmp_path / "f").open("wb") as stream:
        reserve(stream, 1 << 20)
    facts = (tmp_path / "f").stat()
    assert facts.st_size == 1 << 20
    assert facts.st_blocks * 512 >= 1 << 20


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_without_reservation_it_goes_on(tmp_path, shim, code):
    """And nothing is written in its place: not even the C library's way is called, which ends the process."""
    result = python({**shim, "NO_FALLOCATE": str(code)}, RESERVE, tmp_path / "f", 1 << 30)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "f").stat().st_size == 10


@pytest.mark.parametrize("refusal", [{}, {"NO_FALLOCATE": str(errno.EOPNOTSUPP)}])
def test_room_that_is_not_there_is_an_error(tmp_path, shim, refusal):
    result = python(shim | refusal, RESERVE, tmp_path / "f", 1 << 50)
    assert result.returncode == 1
    assert "No space left on device" in result.stderr or "File too large" in result.stderr


def test_other_errors_of_reservation_are_errors(tmp_path, shim):
    result = python({**shim, "NO_FALLOCATE": str(errno.EDQUOT)}, RESERVE, tmp_path / "f", 10)
    assert "Disk quota exceeded" in result.stderr


# ------------------------------------------------------------------------------ files that stay until closed


@pytest.fixture
def stubborn(tmp_path, monkeypatch):
    """A directory that cannot be removed for a number of times."""
    monkeypatch.setattr(files, "_REMOVAL_PAUSES_S", (0.0, 0.0))
    rmtree = shutil.rmtree

    def make(code, times):
        left = [times]

        def refuse(path):
            if left[0]:
                left[0] -= 1
                (Path(path) / ".nfs0001").touch()
                raise OSError(code, os.strerror(code), str(path))
            rmtree(path)

        monkeypatch.setattr(files.shutil, "rmtree", refuse)
        place = tmp_path / "t.image"
        place.mkdir()
        return place

    return make


@pytest.mark.parametrize("code", [errno.ENOTEMPTY, errno.EBUSY, errno.ESTALE])
def test_what_is_in_use_for_a_moment_is_removed_then(tmp_path, stubborn, code):
    remove(stubborn(code, 2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOTEMPTY, errno.EBUSY])
def test_what_stays_in_use_is_left_for_later(tmp_path, stubborn, code):
    remove(stubborn(code, 3))
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".t.image.")
    assert left.name.endswith(".doomed")
    # The next run finds it by its name.
    remove(left)
    assert list(tmp_path.iterdir()) == []


def test_what_replaces_it_is_there_all_the_same(tmp_path, stubborn):
    old = stubborn(errno.EBUSY, 100)
    new = tmp_path / "new"
    new.mkdir()
    (new / "x").write_text("new")
    files.publish(new, old)
    assert (old / "x").read_text() == "new"


def test_other_errors_of_removal_are_errors(stubborn):
    with pytest.raises(OSError, match="Permission denied"):
        remove(stubborn(errno.EACCES, 1))
