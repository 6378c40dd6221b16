"""GpuMetrics: how busy and how full the GPUs are. The only NVML here; without one, no readings."""

from typing import Any

from train.system_files import Reading


class GpuMetrics:
    """The GPUs that the job sees, numbered as torch numbers them."""

    def __init__(self, visible: str | None) -> None:
        """`visible`: CUDA_VISIBLE_DEVICES; None: all."""
        self.note = ""  # why there are no readings, where there could be some
        self._nvml: Any = None
        self._handles: list[Any] = []
        try:
            import pynvml
        except ImportError:
            self.note = "pynvml is not installed"
            return
        try:
            pynvml.nvmlInit()
            self._nvml = pynvml
            self._handles = _handles(pynvml, visible)
        except pynvml.NVMLError_LibraryNotFound:  # no driver: no GPU
            return
        except pynvml.NVMLError as error:
            self.note = f"NVML: {error}"

    @property
    def num_gpus(self) -> int:
        """Those that are read."""
        return len(self._handles)

    def read(self) -> list[Reading]:
        """Two lines a GPU. The first error of the driver ends them."""
        readings: list[Reading] = []
        try:
            for index, handle in enumerate(self._handles):
                busy = float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                full = 100 * memory.used / max(1, memory.total)
                readings.append(Reading("gpu", f"gpu{index}", "GPUUtilization", busy))
                readings.append(Reading("gpu", f"gpu{index}", "GPUMemoryUtilization", full))
        except self._nvml.NVMLError as error:
            self.note, self._handles = f"NVML: {error}", []
            return []
        return readings


def _handles(nvml: Any, visible: str | None) -> list[Any]:
    """Of all GPUs, or of those that CUDA_VISIBLE_DEVICES names by number or by (part of a) UUID."""
    every = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if visible is None:
        return every
    chosen = []
    for word in filter(None, (word.strip() for word in visible.split(","))):
        if word.isdigit() and int(word) < len(every):
            chosen.append(every[int(word)])
            continue
        named = [one for one in every if _uuid(nvml, one).startswith(word)]
        if not named:
            break  # CUDA, too, ignores what follows a wrong name
        chosen.append(named[0])
    return chosen


def _uuid(nvml: Any, handle: Any) -> str:
    name = nvml.nvmlDeviceGetUUID(handle)
    return name.decode() if isinstance(name, bytes) else str(name)
