"""CPU seconds of a stack, since on a machine with other work to do wall time says little."""

import psutil


class CpuMeter:
    """Adds up what the processes below one process use; look often, since runs end.

    A database server is not below it: that counts among the others.
    """

    def __init__(self, pid: int) -> None:
        self._top = psutil.Process(pid)
        self._seconds: dict[tuple[int, float], float] = {}
        self.look()
        self._before = sum(self._seconds.values())
        self._machine = _busy()

    def look(self) -> None:
        for process in [self._top, *self._top.children(recursive=True)]:
            try:
                used = process.cpu_times()
                identity = process.pid, process.create_time()
            except psutil.Error:  # it has ended
                continue
            self._seconds[identity] = used.user + used.system

    def used(self) -> tuple[float, float]:
        """Seconds of the stack, and of everything else on the machine."""
        self.look()
        own = sum(self._seconds.values()) - self._before
        return own, _busy() - self._machine - own


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
