"""Memory and cores by every limit that is set: directory trees as the kernel shows them to a process."""

import os
import resource
import subprocess
import sys

import pytest

from vlasscube.processes import machine
from vlasscube.processes.machine import Available, available_memory, process_memory, usable_cores

GIB = 1 << 30
V2 = "35 23 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)
V1_UNLIMITED = 9223372036854771712


class Tree:
    """A root directory with what the kernel would show."""

    def __init__(self, root):
        self.root = root
        self.write("proc/meminfo", f"MemTotal: {256 << 20} kB\nMemAvailable: {200 << 20} kB\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}")
        return path

    def process(self, groups, mounts):
        self.write("proc/self/cgroup", groups)
        self.write("proc/self/mountinfo", f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n{mounts}")

    def memory_v2(self, group, limit, used=0, cached=0, **more):
        place = f"sys/fs/cgroup/{group}"
        self.write(f"{place}/memory.max", f"{limit}\n")
        self.write(f"{place}/memory.current", f"{used}\n")
        self.write(f"{place}/memory.stat", f"anon 1\nfile {cached}\nactive_file 0\ninactive_file {cached}\n")
        for name, value in more.items():
            self.write(f"{place}/memory.{name}", value)

    def memory_v1(self, group, limit, used=0, cached=0, mount="memory", hierarchical=V1_UNLIMITED):
        place = f"sys/fs/cgroup/{mount}/{group}"
        self.write(f"{place}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{place}/memory.usage_in_bytes", f"{used}\n")
        self.write(
            f"{place}/memory.stat",
            f"cache {cached}\ninactive_file 0\nactive_file 0\nhierarchical_memory_limit {hierarchical}\n"
            f"total_active_file {cached // 2}\ntotal_inactive_file {cached - cached // 2}\n",
        )


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


# -------------------------------------------------------------------------------------------------- memory


def test_what_the_kernel_would_give_back_counts(tree):
    """16 GiB, 15.8 in use, of which 15 hold files."""
    tree.process("0::/\n", V2)
    tree.memory_v2("", 16 * GIB, int(15.8 * GIB), 15 * GIB)
    found = available_memory(tree.root)
    assert found == Available(16 * GIB - int(15.8 * GIB) + 15 * GIB, "limit of the cgroup /")
    # Shared memory is in "file", and is not given back.
    tree.write("sys/fs/cgroup/memory.stat", f"file {15 * GIB}\nshmem {15 * GIB}\n")
    assert available_memory(tree.root).bytes == 16 * GIB - int(15.8 * GIB)


def test_active_pages_and_caches_of_the_kernel_are_given_back_too(tree):
    tree.process("0::/\n", V2)
    tree.memory_v2("", 16 * GIB, 15 * GIB)
    text = (
        f"active_file {2 * GIB}\ninactive_file {3 * GIB}\nslab_reclaimable {GIB}\nslab_unreclaimable {GIB}\n"
    )
    tree.write("sys/fs/cgroup/memory.stat", text)
    assert available_memory(tree.root).bytes == 7 * GIB


@pytest.mark.parametrize(
    ("limits", "smallest"),
    [
        ({"": "max", "a": 8 * GIB, "a/b": 32 * GIB}, ("/a", 8 * GIB)),
        ({"": 64 * GIB, "a": "max", "a/b": 2 * GIB}, ("/a/b", 2 * GIB)),
        ({"a": 3 * GIB, "a/b": "max"}, ("/a", 3 * GIB)),
        ({"": "max", "a": "max", "a/b": "max"}, None),
        ({}, None),
    ],
)
def test_the_smallest_limit_on_the_way_up_counts(tree, limits, smallest):
    tree.process("0::/a/b\n", V2)
    tree.memory_v2("other", GIB)
    tree.memory_v2("a/b/below", GIB)
    for group, limit in limits.items():
        tree.memory_v2(group, limit)
    expected = Available(200 * GIB, "memory of the machine")
    if smallest is not None:
        expected = Available(smallest[1], f"limit of the cgroup {smallest[0]}")
    assert available_memory(tree.root) == expected


def test_what_neighbours_use_counts_where_the_limit_is(tree):
    tree.process("0::/a/b\n", V2)
    tree.memory_v2("a", 10 * GIB, 9 * GIB)
    tree.memory_v2("a/b", 5 * GIB, 1 * GIB)
    assert available_memory(tree.root) == Available(GIB, "limit of the cgroup /a")


def test_the_limit_above_which_a_group_is_slowed_down_counts(tree):
    tree.process("0::/a\n", V2)
    tree.memory_v2("a", "max", high=4 * GIB)
    assert available_memory(tree.root).bytes == 4 * GIB


def test_a_job_of_slurm_in_version_1(tree):
    name = "slurm/uid_1000/job_42/step_0/task_0"
    tree.process(f"9:memory:/{name}\n3:cpu,cpuacct:/slurm/uid_1000/job_42\n0::/\n", HYBRID)
    tree.memory_v1("", V1_UNLIMITED)
    tree.memory_v1("slurm/uid_1000", V1_UNLIMITED)
    tree.memory_v1("slurm/uid_1000/job_42", 24 * GIB, 20 * GIB, 18 * GIB)
    tree.memory_v1("slurm/uid_1000/job_42/step_0", 32 * GIB)
    tree.memory_v1(name, V1_UNLIMITED)
    tree.memory_v1("slurm/uid_1000/job_43", GIB)
    expected = Available(22 * GIB, "limit of the cgroup /slurm/uid_1000/job_42")
    assert available_memory(tree.root) == expected


def test_a_job_of_slurm_in_version_2(tree):
    job = "system.slice/slurmstepd.scope/job_42"
    tree.process(f"0::/{job}/step_0/user/task_0\n", V2)
    tree.memory_v2("system.slice", "max")
    tree.memory_v2(job, 24 * GIB)
    tree.memory_v2(f"{job}/step_0", 12 * GIB)
    tree.memory_v2(f"{job}/step_0/user", 12 * GIB, 2 * GIB)
    assert available_memory(tree.root) == Available(10 * GIB, f"limit of the cgroup /{job}/step_0/user")


def test_a_limit_out_of_sight_in_version_1(tree):
    tree.process("4:memory:/a\n", HYBRID)
    tree.memory_v1("a", V1_UNLIMITED, GIB, hierarchical=6 * GIB)
    assert available_memory(tree.root).bytes == 5 * GIB


def test_a_container_that_sees_the_names_of_its_host(tree):
    """Docker with version 1: the process has the host's name for its group, which is what is mounted."""
    name = "/docker/0123abcd"
    mount = f"35 31 0:32 {name} /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    tree.process(f"4:memory:{name}\n", mount)
    tree.memory_v1("", 7 * GIB)
    assert available_memory(tree.root) == Available(7 * GIB, f"limit of the cgroup {name}")
    tree.process(f"4:memory:{name}/below\n", mount)
    tree.memory_v1("below", 6 * GIB)
    assert available_memory(tree.root) == Available(6 * GIB, f"limit of the cgroup {name}/below")


@pytest.mark.parametrize("name", ["/../../other", "/docker/somewhere/else"])
def test_a_process_outside_of_what_is_mounted(tree, name):
    tree.process(f"0::{name}\n", V2.replace(" / /sys", " /docker/0123 /sys"))
    tree.memory_v2("", 5 * GIB)
    assert available_memory(tree.root).bytes == 5 * GIB


def test_names_with_spaces(tree):
    tree.process("0::/my group\n", V2.replace("/sys/fs/cgroup", r"/sys/fs/my\040cgroup"))
    tree.write("sys/fs/my cgroup/my group/memory.max", f"{3 * GIB}")
    assert available_memory(tree.root) == Available(3 * GIB, "limit of the cgroup /my group")


@pytest.mark.parametrize("text", ["", "rubbish", "-1", "1e9", "9" * 30, "\x00\xff"])
def test_files_that_say_nothing_limit_nothing(tree, text):
    tree.process("0::/a\n4:memory:/a\n", V2 + HYBRID)
    tree.memory_v2("a", text, text, 0, stat=text)
    tree.memory_v1("a", text, text)
    tree.write("sys/fs/cgroup/cpu.max", text)
    assert available_memory(tree.root) == Available(200 * GIB, "memory of the machine")
    assert usable_cores(tree.root) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("text", ["", "rubbish\n", "0:\n::\n0::relative\n", "\x00"])
def test_unreadable_lists_limit_nothing(tree, text):
    tree.process(text, V2)
    tree.memory_v2("", GIB)
    assert available_memory(tree.root).bytes == 200 * GIB
    tree.process("0::/\n", text)
    assert available_memory(tree.root).bytes == 200 * GIB


def test_a_use_that_is_not_told(tree):
    tree.process("0::/\n", V2)
    tree.write("sys/fs/cgroup/memory.max", f"{4 * GIB}\n")
    assert available_memory(tree.root).bytes == 4 * GIB


def test_more_than_the_limit_in_use_leaves_nothing(tree):
    tree.process("0::/\n", V2)
    tree.memory_v2("", 4 * GIB, 5 * GIB)
    assert available_memory(tree.root).bytes == 0


def test_more_cache_than_use_leaves_the_limit(tree):
    """The numbers are not of one moment."""
    tree.process("0::/\n", V2)
    tree.memory_v2("", 4 * GIB, GIB, 2 * GIB)
    assert available_memory(tree.root).bytes == 4 * GIB


def test_kernels_that_do_not_tell_what_is_available(tree):
    tree.write("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 20 kB\nCached: 300 kB\n")
    assert available_memory(tree.root).bytes == 420 * 1024
    tree.write("proc/meminfo", "")
    assert available_memory(tree.root).bytes > 1 << 20


def test_the_limit_of_a_process(tmp_path, monkeypatch):
    tree = Tree(tmp_path)
    tree.write("proc/self/status", "VmPeak:\t 9999 kB\nVmSize:\t 2048 kB\nVmData:\t 1024 kB\n")
    limits = {resource.RLIMIT_AS: resource.RLIM_INFINITY, resource.RLIMIT_DATA: resource.RLIM_INFINITY}
    monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (limits[which], resource.RLIM_INFINITY))
    assert process_memory(tmp_path) is None
    limits[resource.RLIMIT_AS] = 10 << 20
    assert process_memory(tmp_path) == Available(8 << 20, "limit of ulimit -v")
    limits[resource.RLIMIT_DATA] = 3 << 20
    assert process_memory(tmp_path) == Available(2 << 20, "limit of ulimit -d")
    limits[resource.RLIMIT_DATA] = 1000
    assert process_memory(tmp_path).bytes == 0


def test_this_process_heeds_its_own_limit():
    code = (
        "import resource; from vlasscube.processes.machine import available_memory_bytes\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); print(available_memory_bytes())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(result.stdout) < 1 << 30


# --------------------------------------------------------------------------------------------------- cores


@pytest.fixture
def _sixteen_cores(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(16)))


@pytest.mark.usefixtures("_sixteen_cores")
@pytest.mark.parametrize(
    ("quotas", "cores"),
    [
        ({"a/b": "max 100000"}, 16),
        ({"a/b": "400000 100000"}, 4),
        ({"a": "200000 100000", "a/b": "400000 100000"}, 2),
        ({"": "300000 100000", "a/b": "max 100000"}, 3),
        ({"a/b": "250000 100000"}, 3),
        ({"a/b": "20000 100000"}, 1),
        ({"a/b": "6400000 100000"}, 16),
        ({"a/b": "0 100000"}, 16),
        ({"a/b": "100000 0"}, 16),
        ({"a/b": "100000"}, 16),
        ({"other": "100000 100000"}, 16),
    ],
)
def test_quotas_of_version_2(tree, quotas, cores):
    tree.process("0::/a/b\n", V2)
    for group, quota in quotas.items():
        tree.write(f"sys/fs/cgroup/{group}/cpu.max", f"{quota}\n")
    assert usable_cores(tree.root) == cores


@pytest.mark.usefixtures("_sixteen_cores")
@pytest.mark.parametrize(("quota", "cores"), [(-1, 16), (400000, 4), (150000, 2), (1000, 1)])
def test_quotas_of_version_1(tree, quota, cores):
    tree.process("5:cpu,cpuacct:/job_1/step_0\n4:memory:/other\n0::/\n", HYBRID)
    place = "sys/fs/cgroup/cpu,cpuacct/job_1"
    tree.write(f"{place}/cpu.cfs_quota_us", f"{quota}\n")
    tree.write(f"{place}/cpu.cfs_period_us", "100000\n")
    tree.write(f"{place}/step_0/cpu.cfs_quota_us", "-1\n")
    tree.write(f"{place}/step_0/cpu.cfs_period_us", "100000\n")
    assert usable_cores(tree.root) == cores


def test_this_machine():
    assert 1 <= usable_cores() <= os.cpu_count()
    assert machine.available_memory_bytes() > 1 << 20
