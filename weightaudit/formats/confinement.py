"""Confines a process that parses a stranger's file: limits, and few system calls.

Imported by the process that lists HDF5 files, and by nothing else; it imports nothing of weightaudit.
A damaged file may make libhdf5 run away, and a crafted one may take it over. Then there is no more to
be had than what the process holds: the file that it was given, and the pipe that it answers to.
"""

from __future__ import annotations

import ctypes
import platform
import resource
import sys
from typing import NamedTuple

_FIRST_SIGNAL = 1
"""Seconds between the signal that tells a time limit from any other death, and the one that kills."""


class _Machine(NamedTuple):
    """What the system call filter has to know of a kind of processor.

    Attributes:
        arch: Its number in the kernel's audit interface.
        calls: Numbers of the system calls that parsing needs.
    """

    arch: int
    calls: tuple[int, ...]


# read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64
# writev sched_yield mremap madvise getpid exit gettid futex restart_syscall clock_gettime exit_group
# newfstatat preadv getrandom preadv2, on each:
_X86_64 = "0 1 3 5 8 9 10 11 12 13 14 15 17 20 24 25 28 39 60 186 202 219 228 231 262 295 318 327"
_AARCH64 = (
    "63 64 57 80 62 222 226 215 214 134 135 139 67 66 124 216 233 172 93 178 98 128 113 94 79 69 278 286"
)
_MACHINES = {
    "x86_64": _Machine(0xC000003E, tuple(map(int, _X86_64.split()))),
    "aarch64": _Machine(0xC00000B7, tuple(map(int, _AARCH64.split()))),
}
"""Source: the kernel's syscall tables, and linux/audit.h."""

_SET_SECCOMP, _SET_NO_NEW_PRIVILEGES, _FILTER = 22, 38, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _ARCH_AT = 0, 4
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050001
"""Answers of a filter; the last makes a call fail with EPERM. Source: linux/seccomp.h."""


class _Instruction(ctypes.Structure):
    """``struct sock_filter`` of linux/filter.h."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    """``struct sock_fprog`` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def confine(memory: int, seconds: int) -> bool:
    """Give up what parsing does not need, for good.

    Args:
        memory: Bytes of address space that the process may have.
        seconds: Processor time that it may take, after which SIGXCPU ends it.

    Returns:
        Whether system calls are filtered; they are not where the kernel lacks the filter, and then the
        limits alone hold.
    """
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        # What is open stays open; no file and no socket can be added.
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, bound in limits.items():
        _limit(kind, bound, bound)
    _limit(resource.RLIMIT_CPU, seconds, seconds + _FIRST_SIGNAL)
    return _filter_calls()


def _limit(kind: int, soft: int, hard: int) -> None:
    """Lower a limit of this process."""
    _, most = resource.getrlimit(kind)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def _filter_calls() -> bool:
    """Let the kernel refuse all system calls but those that parsing needs."""
    machine = _MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if machine is None:
        return False
    instructions = _instructions(machine)
    program = _Program(len(instructions), instructions)
    control = ctypes.CDLL(None, use_errno=True).prctl
    if control(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(control(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


def _instructions(machine: _Machine) -> ctypes.Array[_Instruction]:
    """Return the filter: another architecture's call kills, a call that is not listed fails."""
    calls = machine.calls
    steps = [(_LOAD, 0, 0, _ARCH_AT), (_EQUAL, 1, 0, machine.arch), (_RETURN, 0, 0, _KILL)]
    steps.append((_LOAD, 0, 0, _NUMBER_AT))
    # A match jumps over the calls behind it, and over the refusal.
    steps += [(_EQUAL, len(calls) - place, 0, call) for place, call in enumerate(calls)]
    steps += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    return (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
