"""The machine's own memory, as the files of /proc and /sys tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from solar_pyserver.hardware import free_bytes
from solar_pyserver.host_memory import host_free_bytes

KIB, MIB = 1024, 1024**2
MEMINFO = "MemTotal:       8388608 kB\nMemFree:         102400 kB\nMemAvailable:   4194304 kB\nCached:  4000000 kB\n"
V1_UNLIMITED = 9223372036854771712


def machine(root: Path, meminfo: str = MEMINFO, cgroup: str = "", files: dict[str, object] | None = None) -> Path:
    for name, content in {"proc/meminfo": meminfo, "proc/self/cgroup": cgroup, **(files or {})}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def test_caches_that_the_kernel_would_give_back_are_free(tmp_path: Path) -> None:
    assert host_free_bytes(machine(tmp_path)) == 4194304 * KIB
    # Kernels before 3.14 do not tell it.
    old = machine(tmp_path, MEMINFO.replace("MemAvailable", "Other"))
    assert host_free_bytes(old) == 102400 * KIB


def v2(folder: str, limit: object, current: int, idle_files: int = 0) -> dict[str, object]:
    place = f"sys/fs/cgroup{folder}"
    return {
        f"{place}/memory.max": limit,
        f"{place}/memory.current": current,
        f"{place}/memory.stat": f"anon 5\ninactive_file {idle_files}\nactive_file 7",
    }


def v1(folder: str, limit: int, usage: int, idle_files: int = 0) -> dict[str, object]:
    place = f"sys/fs/cgroup/memory{folder}"
    return {
        f"{place}/memory.limit_in_bytes": limit,
        f"{place}/memory.usage_in_bytes": usage,
        f"{place}/memory.stat": f"cache 5\ntotal_inactive_file {idle_files}",
    }


V1 = "5:cpu,cpuacct:/other\n4:memory:"


@pytest.mark.parametrize(
    ("cgroup", "files", "free"),
    [
        ("0::/", v2("", 1000 * MIB, 400 * MIB, 100 * MIB), 700 * MIB),
        ("0::/a/b", {**v2("/a", 500 * MIB, 100 * MIB), **v2("/a/b", "max", 50 * MIB)}, 400 * MIB),
        ("0::/a/b", {**v2("/a", 900 * MIB, 100 * MIB), **v2("/a/b", 300 * MIB, 50 * MIB)}, 250 * MIB),
        ("0::/", v2("", 100 * MIB, 120 * MIB), 0),
        ("0::/", v2("", "max", 400 * MIB), 4096 * MIB),
        ("0::/", v2("", 2**43, 400 * MIB), 4096 * MIB),
        ("0::/../outside", v2("", 100 * MIB, 40 * MIB), 60 * MIB),
        (f"{V1}/docker/x", v1("", 1000 * MIB, 400 * MIB, 100 * MIB), 700 * MIB),
        (f"{V1}/docker/x", v1("/docker/x", 300 * MIB, 100 * MIB), 200 * MIB),
        (f"{V1}/", v1("", V1_UNLIMITED, 400 * MIB), 4096 * MIB),
        ("0::/gone", {}, 4096 * MIB),
    ],
    ids=[
        "v2, the container's own",
        "v2, that of a parent",
        "v2, the tighter of two",
        "v2, overdrawn",
        "v2, none",
        "v2, above the machine's memory",
        "v2, a path outside of what is mounted",
        "v1, seen from inside the container",
        "v1, seen from the host",
        "v1, none",
        "files that are not there",
    ],
)
def test_the_tightest_limit_of_a_cgroup_counts(
    tmp_path: Path, cgroup: str, files: dict[str, object], free: int
) -> None:
    assert host_free_bytes(machine(tmp_path, cgroup=cgroup, files=files)) == free


def test_without_proc_nothing_is_told(tmp_path: Path) -> None:
    assert host_free_bytes(tmp_path) is None


def test_on_a_cpu_the_hosts_memory_is_what_is_free() -> None:
    free = free_bytes("cpu")
    known = host_free_bytes()
    assert (free is None) == (known is None)
    assert free is None or free > 0
