"""NVIDIA GPUs, as the driver's own library tells of them (package `nvidia-ml-py`, the extra `gpu`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from skald.writing.system.machine import GIB, Values

DRIVER = Path("/proc/driver/nvidia/version")


class MissingLibraryError(Exception):
    """There are GPUs, and nothing to ask of them with."""


class Gpus:
    """All GPUs of the machine, by the driver's numbers, whatever CUDA_VISIBLE_DEVICES hides."""

    def __init__(self) -> None:
        """Ask for nothing yet: the first question may take seconds."""
        self._nvml: Any = None
        self.numbers = range(0)

    def open(self) -> None:
        """Find the GPUs; without a driver there are none.

        Raises:
            MissingLibraryError: the driver is there, and `nvidia-ml-py` is not.
            Exception: what NVML says.
        """
        try:
            import pynvml
        except ImportError as error:
            if DRIVER.exists():
                raise MissingLibraryError("they need the package nvidia-ml-py: pip install 'skald[gpu]'") from error
            return
        try:
            pynvml.nvmlInit()
        except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
            return
        self._nvml = pynvml
        self.numbers = range(pynvml.nvmlDeviceGetCount())

    def read(self, number: int) -> Values:
        """Return what a GPU can tell of itself.

        Raises:
            Exception: what NVML says, of a GPU that is lost, say, or that belongs to others.
        """
        handle = self._nvml.nvmlDeviceGetHandleByIndex(number)
        values: Values = {}
        for reading in (self._use, self._memory, self._power, self._temperature):
            values |= self._supported(reading, handle)
        return values

    def close(self) -> None:
        """Let go of the driver."""
        nvml, self._nvml, self.numbers = self._nvml, None, range(0)
        if nvml is not None:
            nvml.nvmlShutdown()

    def _supported(self, reading: Callable[[Any], Values], handle: Any) -> Values:
        try:
            return reading(handle)
        except self._nvml.NVMLError_NotSupported:  # a part of a GPU (MIG) has no use, a passive one no power
            return {}

    def _use(self, handle: Any) -> Values:
        return {"gpu_percent": float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)}

    def _memory(self, handle: Any) -> Values:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        return {"gpu_memory_percent": 100 * memory.used / memory.total, "gpu_memory_gib": memory.used / GIB}

    def _power(self, handle: Any) -> Values:
        return {"gpu_power_watts": self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000}

    def _temperature(self, handle: Any) -> Values:
        kind = self._nvml.NVML_TEMPERATURE_GPU
        return {"gpu_temperature_celsius": float(self._nvml.nvmlDeviceGetTemperature(handle, kind))}
