"""Linux system calls by which a thread gives up rights for good: Landlock, seccomp, capabilities, no_new_privs. A child
that it starts has given them up too. One file knows the numbers; elsewhere than on Linux nothing here does anything.

Sources: landlock(7), seccomp(2), capabilities(7), <linux/landlock.h>, <linux/seccomp.h>, <asm/unistd.h>.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

EXECUTE, WRITE, READ, LIST, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_BY_ABI, _SCOPES_BY_ABI = {4: 0b11}, {6: 0b11}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1

_SET_NO_NEW_PRIVS = 38
_SET_FILTER, _SPEC_ALLOW = 1, 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_OVERRIDE_AND_READ_SEARCH = 0b110

_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NEW_NAMESPACES = 0x7E020000
_THREAD_OR_VFORK = 0x10000 | 0x4000
_CLONE3 = 435


@dataclass(frozen=True, kw_only=True, slots=True)
class _Machine:
    """What differs between processors. other_abi: call numbers from here on are of another calling convention."""

    audit_arch: int
    seccomp: int
    capget: int
    capset: int
    clone: int
    other_abi: int
    refused: tuple[int, ...]


_EVERYWHERE = (
    *(425, 426, 427),  # io_uring_*: it opens files and sockets past this filter
    *(438, 424, 452),  # pidfd_getfd, pidfd_send_signal, fchmodat2
    *(428, 429, 430, 431, 432, 433, 442),  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
)
_MACHINES: Mapping[str, _Machine] = {
    "x86_64": _Machine(
        audit_arch=0xC000003E, seccomp=317, capget=125, capset=126, clone=56, other_abi=0x40000000,
        refused=(
            *(41, 53, 57),  # socket, socketpair, fork
            *(101, 310, 311, 321, 298, 323),  # ptrace, process_vm_*, bpf, perf_event_open, userfaultfd
            *(248, 249, 250, 272, 308, 165, 166, 155, 161),  # keys, unshare, setns, mount, umount2, pivot_root, chroot
            *(90, 91, 268, 92, 93, 94, 260),  # chmod and chown, all kinds
            *(132, 235, 261, 280, 188, 189, 190, 197, 198, 199),  # utime, all kinds; setxattr, removexattr
            *(62, 129, 297),  # kill, rt_sigqueueinfo, rt_tgsigqueueinfo
            *_EVERYWHERE,
        ),
    ),
    "aarch64": _Machine(
        audit_arch=0xC00000B7, seccomp=277, capget=90, capset=91, clone=220, other_abi=1 << 31,
        refused=(
            *(198, 199),  # socket, socketpair
            *(117, 270, 271, 280, 241, 282),  # ptrace, process_vm_*, bpf, perf_event_open, userfaultfd
            *(217, 218, 219, 97, 268, 40, 39, 41, 51),  # keys, unshare, setns, mount, umount2, pivot_root, chroot
            *(52, 53, 54, 55),  # fchmod, fchmodat, fchownat, fchown
            *(88, 5, 6, 7, 14, 15, 16),  # utimensat, setxattr, removexattr
            *(129, 138, 240),  # kill, rt_sigqueueinfo, rt_tgsigqueueinfo
            *_EVERYWHERE,
        ),
    ),
}  # fmt: skip
"""For each processor the calls that a decoder never makes: network, other processes, mounts, keys, owners and modes."""


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _machine() -> _Machine | None:
    return _MACHINES.get(platform.machine())


def landlock_abi() -> int:
    """The version of Landlock that the kernel offers; 0 where it has none, or it is turned off."""
    libc = _libc()
    return max(int(libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)), 0) if libc else 0


def forgo_privileges() -> bool:
    """Set no_new_privs on the calling thread, and drop its capabilities but the two that open files: Landlock says
    which files these are. Returns whether no_new_privs holds."""
    libc, machine = _libc(), _machine()
    if libc is None or libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    if machine is None:
        return True
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.syscall(machine.capget, header, sets) == 0:
        few = sets[1] & _DAC_OVERRIDE_AND_READ_SEARCH
        libc.syscall(machine.capset, header, (ctypes.c_uint32 * 6)(sets[0] & few, few, 0, 0, 0, 0))
    return True


def forgo_files(allowed: Iterable[tuple[Path | int, int]]) -> bool:
    """Let the calling thread reach the files and folders named (by path or by descriptor) and no other, no TCP port,
    no abstract socket and no other process. A path that does not exist is passed over.

    Needs no_new_privs. Returns False where the kernel has no Landlock, or takes no more of it.
    """
    abi, libc = landlock_abi(), _libc()
    if not abi or libc is None:
        return False
    rights = _by_abi(_RIGHTS_BY_ABI, abi)
    words = [rights, _by_abi(_TCP_BY_ABI, abi), _by_abi(_SCOPES_BY_ABI, abi)]
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = int(libc.syscall(_CREATE_RULESET, (ctypes.c_uint64 * 3)(*words), ctypes.c_size_t(size), 0))
    if ruleset < 0:
        return False
    try:
        for place, access in allowed:
            _allow(libc, ruleset, place, access & rights)
        return int(libc.syscall(_RESTRICT_SELF, ruleset, 0)) == 0
    finally:
        os.close(ruleset)


def _by_abi(table: Mapping[int, int], abi: int) -> int:
    return table[max(since for since in table if since <= abi)] if any(since <= abi for since in table) else 0


def _allow(libc: ctypes.CDLL, ruleset: int, place: Path | int, access: int) -> None:
    try:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC) if isinstance(place, Path) else place
    except OSError:
        return
    try:
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, opened), 0)
    finally:
        if isinstance(place, Path):
            os.close(opened)


def forgo_calls() -> bool:
    """Let the calling thread make no network socket and none of the other calls that a decoder never makes: they fail
    as if they were not permitted. Needs no_new_privs. Returns False where there is no seccomp."""
    libc, machine = _libc(), _machine()
    if libc is None or machine is None:
        return False
    code = _filter(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    # Without this flag older kernels slow down every branch of the child, against an attack on secrets it has not.
    return any(int(libc.syscall(machine.seccomp, _SET_FILTER, flags, program)) == 0 for flags in (_SPEC_ALLOW, 0))


@cache
def _filter(machine: _Machine) -> bytes:
    """The program that the kernel runs at each call: classic BPF on `struct seccomp_data` (number at 0, processor at 4,
    first argument at 16). Only forward jumps, each to one of the three verdicts at the end."""
    checks = [
        (_LOAD, 4, None, None),
        (_EQUAL, machine.audit_arch, None, "refuse"),
        (_LOAD, 0, None, None),
        (_AT_LEAST, machine.other_abi, "refuse", None),
        *((_EQUAL, number, "refuse", None) for number in machine.refused),
        (_EQUAL, _CLONE3, "unknown", None),  # its flags cannot be seen from here; libc falls back to clone
        (_EQUAL, machine.clone, None, "allow"),
        (_LOAD, 16, None, None),
        (_ANY_BIT, _NEW_NAMESPACES, "refuse", None),
        (_ANY_BIT, _THREAD_OR_VFORK, None, "refuse"),
    ]
    verdicts = {"allow": _ALLOW, "refuse": _ERRNO | _EPERM, "unknown": _ERRNO | _ENOSYS}
    ends = {name: len(checks) + at for at, name in enumerate(verdicts)}
    code = b""
    for at, (what, value, if_so, if_not) in enumerate(checks):
        jumps = (ends[name] - at - 1 if name else 0 for name in (if_so, if_not))
        code += struct.pack("HBBI", what, *jumps, value)
    return code + b"".join(struct.pack("HBBI", _RETURN, 0, 0, value) for value in verdicts.values())
