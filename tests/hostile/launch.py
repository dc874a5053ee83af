"""Runs a program under limits, and writes what became of it to a descriptor, as JSON.

A script of its own, with nothing imported that is not needed: a new process begins with the peak memory of
the one that forked it, and that of a test run is large. Arguments: the descriptor, seconds after which the
program is killed, and the program with its arguments.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from types import FrameType

_ADDRESS_SPACE = 4 << 30
"""Bytes; far above what is expected, so that a runaway is an error of its own and not the machine's."""


def main() -> None:
    """Start the program, wait for it, and tell how it ended."""
    report, seconds, *program = sys.argv[1:]
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(int(report))
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
        os.execv(program[0], program)  # noqa: S606 - the program that the test names

    def kill(_number: int, _frame: FrameType | None) -> None:
        os.killpg(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    _, status, usage = os.wait4(child, 0)
    figures = (
        f'{{"status": {os.waitstatus_to_exitcode(status)}, "wall": {time.monotonic() - started}, '
        f'"cpu": {usage.ru_utime + usage.ru_stime}, "peak": {usage.ru_maxrss * 1024}}}'
    )
    os.write(int(report), figures.encode())


if __name__ == "__main__":
    main()
