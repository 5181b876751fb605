"""What a process may still take of the machine's own memory: the kernel's estimate, and the limits of its cgroups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# What cgroup v1 calls no limit is the largest number of whole pages.
UNLIMITED = 2**60


def host_free_bytes(root: Path = Path("/")) -> int | None:
    """Bytes. None where there is no /proc, as on macOS."""
    available = _available(root / "proc/meminfo")
    if available is None:
        return None
    return max(0, min([available, *_rooms(root)]))


def _available(meminfo: Path) -> int | None:
    """MemAvailable in bytes. MemFree leaves out the caches, which are most of the memory of a busy machine."""
    fields = dict(line.split(":", 1) for line in _text(meminfo).splitlines() if ":" in line)
    value = fields.get("MemAvailable", fields.get("MemFree"))
    return None if value is None else int(value.split()[0]) * 1024


def _rooms(root: Path) -> Iterator[int]:
    """Bytes that each cgroup leaves, from this process's up to the root. A container may see its own as the root."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not path:
            continue
        if controllers == "":
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folders = [top / path.lstrip("/"), *(top / path.lstrip("/")).parents]
        for folder in folders[: folders.index(top) + 1]:
            room = _room(folder, *names)
            if room is not None:
                yield room


def _room(folder: Path, limit_file: str, usage_file: str, reclaimable: str) -> int | None:
    """The pages of files that lie idle count as free: the kernel takes them back first."""
    limit, usage = _number(_text(folder / limit_file)), _number(_text(folder / usage_file))
    if limit is None or usage is None or limit >= UNLIMITED:
        return None
    stat = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    return limit - usage + (_number(stat.get(reclaimable, "")) or 0)


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
