"""What this process may use of the machine it runs on: memory and cores, by every limit that is set for it.

A container, a batch system or systemd set limits by control groups, which are nested: a limit holds for all
that is below it, so the smallest on the way up counts. Both versions of control groups are read, and mixtures
of them (cgroups(7); Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst of the Linux kernel).

All functions take the root directory under which ``proc`` and the control groups lie.
"""

from __future__ import annotations

import math
import os
import re
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")
_UNLIMITED_BYTES = 1 << 60
"""Version 1 has no word for a limit that is not set: it gives the largest number of whole pages."""


@dataclass(frozen=True)
class Available:
    """Memory that can be used, and what sets that limit."""

    bytes: int
    limit: str
    """E.g. ``the memory of the machine``, ``limit of the cgroup /system.slice/x.service``."""


# -------------------------------------------------------------------------------------------- control groups


@dataclass(frozen=True)
class _Group:
    """A control group: its directory, and its name as in ``/proc/self/cgroup``."""

    directory: Path
    name: str
    version: int


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int | None:
    """The number in a file; None without one, be it that there is no such file or no limit."""
    text = _text(path).strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else None


def _statistics(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {
        pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and re.fullmatch(r"[0-9]{1,20}", pair[1])
    }


@dataclass(frozen=True)
class _Mount:
    root: PurePosixPath
    point: PurePosixPath
    kind: str
    controllers: frozenset[str]


def _unescaped(text: str) -> str:
    """Undo the octal escapes of white space in /proc/self/mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) < 5 or len(right) < 3 or right[0] not in ("cgroup", "cgroup2"):
            continue
        yield _Mount(
            PurePosixPath(_unescaped(left[3])),
            PurePosixPath(_unescaped(left[4])),
            right[0],
            frozenset(right[2].split(",")),
        )


def _groups(root: Path, controller: str) -> Iterator[_Group]:
    """Control groups of this process for a controller, each with those above it, as far as they are seen."""
    memberships: list[tuple[int, str]] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if not name.startswith("/"):
            continue
        if number == "0" and not controllers:
            memberships.append((2, name))
        elif controller in controllers.split(","):
            memberships.append((1, name))
    mounts = list(_mounts(root))
    seen: set[Path] = set()
    for version, name in memberships:
        for mount in mounts:
            if (mount.kind == "cgroup2") != (version == 2):
                continue
            if version == 1 and controller not in mount.controllers:
                continue
            for group in _upwards(root, mount, name, version):
                if group.directory not in seen:
                    seen.add(group.directory)
                    yield group


def _upwards(root: Path, mount: _Mount, name: str, version: int) -> Iterator[_Group]:
    point = root / str(mount.point).lstrip("/")
    path = PurePosixPath(name)
    if path.is_relative_to(mount.root) and ".." not in path.relative_to(mount.root).parts:
        below = path.relative_to(mount.root)
    else:
        # A container that sees the names of its host, or is outside of its own namespace: what is mounted is
        # the group that somebody has chosen for it.
        below = PurePosixPath()
    for part in (below, *below.parents):
        yield _Group(point / part, str(mount.root / part), version)


# -------------------------------------------------------------------------------------------------- memory


def _smallest(*limits: int | None) -> int | None:
    return min(
        (limit for limit in limits if limit is not None and 0 <= limit < _UNLIMITED_BYTES), default=None
    )


def _available_in(group: _Group) -> int | None:
    """What a group has left, counting what the kernel would give back; None without a limit.

    The page cache of files that were read or written counts as used until something else needs its place. On
    the lists of files' pages (``active_file``, ``inactive_file``) is what can be given back; shared memory,
    which cannot, is not on them.
    """
    statistics = _statistics(group.directory / "memory.stat")
    if group.version == 2:
        limit = _smallest(
            _number(group.directory / "memory.max"),
            # Above this the kernel slows the group down rather than let it grow.
            _number(group.directory / "memory.high"),
        )
        used = _number(group.directory / "memory.current")
        names: tuple[str, ...] = ("active_file", "inactive_file", "slab_reclaimable")
    else:
        limit = _smallest(
            _number(group.directory / "memory.limit_in_bytes"),
            # The smallest on the way up, some of which may be out of sight.
            statistics.get("hierarchical_memory_limit"),
        )
        used = _number(group.directory / "memory.usage_in_bytes")
        names = ("total_active_file", "total_inactive_file")
        if not statistics.keys() & set(names):
            names = ("active_file", "inactive_file")
    if limit is None:
        return None
    reclaimable = sum(statistics.get(name, 0) for name in names)
    return max(limit - max((used or 0) - reclaimable, 0), 0)


def _available_in_machine(root: Path) -> int:
    facts = {
        name: int(size) * 1024
        for name, size in re.findall(r"(?m)^(\w+): +([0-9]{1,15}) kB$", _text(root / "proc/meminfo"))
    }
    if "MemAvailable" in facts:
        return facts["MemAvailable"]
    if "MemFree" in facts:
        # Kernels before 3.14, and some containers.
        return facts["MemFree"] + facts.get("Buffers", 0) + facts.get("Cached", 0)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_memory(root: Path = ROOT) -> Available:
    """Memory that all processes of a run together can use now, and what limits it.

    Parameters
    ----------
    root : Path
        Where ``proc`` and the control groups are.

    Returns
    -------
    Available
        What the kernel calls available, or, where that is less, what the control group of this process or one
        above it has left, page cache that can be given back included.
    """
    found = [Available(_available_in_machine(root), "memory of the machine")]
    for group in _groups(root, "memory"):
        left = _available_in(group)
        if left is not None:
            found.append(Available(left, f"limit of the cgroup {group.name}"))
    return min(found, key=lambda available: available.bytes)


_LIMITS: Mapping[str, tuple[int, str]] = {
    "ulimit -v": (resource.RLIMIT_AS, "VmSize"),
    "ulimit -d": (resource.RLIMIT_DATA, "VmData"),
}
"""Limits of a single process by memory that it has asked for, and what it has asked for already."""


def process_memory(root: Path = ROOT) -> Available | None:
    """Memory that this process alone may still ask for; None if its limits do not say.

    Unlike the limit of a control group this one is each process's own, so it does not matter how many there
    are.
    """
    status = dict(re.findall(r"(?m)^(\w+):\s+([0-9]{1,15}) kB$", _text(root / "proc/self/status")))
    found = []
    for name, (limit, used) in _LIMITS.items():
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            found.append(Available(max(soft - int(status.get(used, 0)) * 1024, 0), f"limit of {name}"))
    return min(found, key=lambda available: available.bytes, default=None)


def available_memory_bytes() -> int:
    """Memory that this process can use now."""
    own = process_memory()
    together = available_memory().bytes
    return together if own is None else min(together, own.bytes)


# --------------------------------------------------------------------------------------------------- cores


def _quota_cores(group: _Group) -> float | None:
    """Processor time per time that a group may use; None without a limit."""
    if group.version == 2:
        quota, _, period = _text(group.directory / "cpu.max").strip().partition(" ")
    else:
        quota = _text(group.directory / "cpu.cfs_quota_us").strip()
        period = _text(group.directory / "cpu.cfs_period_us").strip()
    if not re.fullmatch("[0-9]{1,15}", quota) or not re.fullmatch("[0-9]{1,15}", period):
        # "max" in version 2, -1 in version 1.
        return None
    return int(quota) / int(period) if int(period) > 0 and int(quota) > 0 else None


def usable_cores(root: Path = ROOT) -> int:
    """Number of cores this process may use: by its affinity and the quotas of its control groups.

    Parameters
    ----------
    root : Path
        As of `available_memory`.

    Returns
    -------
    int
        At least 1. A quota of 2.5 cores counts as 3: with 2 threads half a core would be left unused.
    """
    quotas = [quota for group in _groups(root, "cpu") if (quota := _quota_cores(group)) is not None]
    return min([len(os.sched_getaffinity(0)), *(max(math.ceil(quota), 1) for quota in quotas)])


def slurm_cores() -> int:
    """Cores that SLURM was asked for for each task, by ``SLURM_CPUS_PER_TASK``; 0 without."""
    text = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(text) if re.fullmatch("[0-9]{1,6}", text) else 0


def unused_cores_text(usable: int, requested: int) -> str:
    """Tell what to do where a process may use fewer cores than SLURM was asked for."""
    return (
        f"{usable} core{'s' * (usable != 1)} usable, {requested} asked for (SLURM_CPUS_PER_TASK). "
        "srun does not hand --cpus-per-task on since SLURM 22.05: "
        "srun --cpus-per-task=$SLURM_CPUS_PER_TASK ..., or export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK "
        "before it."
    )
