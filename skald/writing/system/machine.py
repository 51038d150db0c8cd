"""What psutil tells of the machine and of a process with its children, as metrics.

Rates are means since the last reading, so the first one has none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from skald.writing.system.container import Container

GIB: Final = 2**30
MIB: Final = 2**20

Values = dict[str, float]


class Rate:
    """How fast counters grow."""

    def __init__(self) -> None:
        """Begin with nothing to compare with."""
        self._at = 0.0
        self._before: Values = {}

    def of(self, **counters: float) -> Values:
        """Return the growth of each counter a second; of a counter that is new, nothing."""
        now = time.monotonic()
        seconds, before = now - self._at, self._before
        self._at, self._before = now, counters
        return {
            name: max(0.0, (count - before[name]) / seconds)  # a device that went and came begins anew
            for name, count in counters.items()
            if name in before and seconds > 0
        }


class Machine:
    """The whole machine; in a container with limits what it may use of it."""

    def __init__(self, folder: Path | None, container: Container | None = None) -> None:
        """Look at the machine.

        Args:
            folder: the disk that it lies on is looked at too.
            container: the limits; by default those of this process.
        """
        self._folder = folder
        self._container = container or Container()
        self._cpu, self._disk, self._net = Rate(), Rate(), Rate()

    def cpu(self) -> Values:
        """Return how busy the cores are, 100 when all are."""
        limited = self._container.cpu()
        if limited:
            used, cores = limited
            return _cpu_percent(self._cpu.of(busy=used, total=time.monotonic() * cores))
        times = psutil.cpu_times()
        total = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)  # user time has these too
        return _cpu_percent(self._cpu.of(busy=total - times.idle - getattr(times, "iowait", 0), total=total))

    def memory(self) -> Values:
        """Return the memory that is used and cannot be freed at once."""
        machine = psutil.virtual_memory()
        used, total = machine.total - machine.available, machine.total
        limited = self._container.memory()
        if limited and limited[1] < total:
            used, total = limited
        return {"memory_percent": 100 * used / total, "memory_gib": used / GIB}

    def disk(self) -> Values:
        """Return how full the run's disk is."""
        return {"disk_percent": psutil.disk_usage(str(self._folder)).percent} if self._folder else {}

    def disk_traffic(self) -> Values:
        """Return what all disks read and write; a sandbox may tell nothing of that."""
        counters = psutil.disk_io_counters()
        if not counters:
            return {}
        rates = self._disk.of(disk_read_mib_per_s=counters.read_bytes, disk_write_mib_per_s=counters.write_bytes)
        return {name: rate / MIB for name, rate in rates.items()}

    def network(self) -> Values:
        """Return what goes through the network, the machine's talk with itself left out."""
        names = {name for name, state in psutil.net_if_stats().items() if "loopback" not in state.flags.split(",")}
        counters = [count for name, count in psutil.net_io_counters(pernic=True).items() if name in names]
        rates = self._net.of(
            net_received_mib_per_s=sum(count.bytes_recv for count in counters),
            net_sent_mib_per_s=sum(count.bytes_sent for count in counters),
        )
        return {name: rate / MIB for name, rate in rates.items()}


def _cpu_percent(rates: Values) -> Values:
    # rounded, as the sums of what psutil tells in hundredths are not quite equal where nothing was done
    return {"cpu_percent": round(100 * rates["busy"] / rates["total"], 6)} if rates.get("total") else {}


class ProcessTree:
    """This process and all that it has started, such as the workers of a data loader."""

    def __init__(self) -> None:
        """Look at the process that calls."""
        self._process = psutil.Process(os.getpid())
        self._cpu = Rate()

    def read(self) -> Values:
        """Return the CPU of the processes, 100 for one core, and their memory, what they share counted for each."""
        seconds, memory = {}, 0
        for process in self._processes():
            try:
                with process.oneshot():
                    times, bytes_ = process.cpu_times(), process.memory_info().rss
                    seconds[f"{process.pid} {process.create_time()}"] = times.user + times.system
            except psutil.Error:  # ended meanwhile, or another user's
                if process is self._process:
                    raise
                continue
            memory += bytes_
        found = {"process_memory_gib": memory / GIB}
        rates = self._cpu.of(**seconds)
        return found | {"process_cpu_percent": 100 * sum(rates.values())} if rates else found

    def _processes(self) -> Iterator[psutil.Process]:
        yield self._process
        yield from self._process.children(recursive=True)
