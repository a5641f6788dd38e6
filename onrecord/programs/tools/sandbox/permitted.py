"""The system calls that a program in the sandbox may make; every other one fails.

What is not here, on purpose: everything that makes a process, executes a file, opens a socket,
reaches another process, mounts, or touches what the kernel has built with bugs in the past
(io_uring, bpf, keyctl, userfaultfd, splice, perf).
"""

from __future__ import annotations

# Name: its number on x86_64, and on aarch64 (-: it has none).
_READING = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69,
pwritev 296 70, preadv2 327 286, pwritev2 328 287, open 2 -, openat 257 56, openat2 437 437,
creat 85 -, close 3 57, close_range 436 436, stat 4 -, lstat 6 -, fstat 5 80, newfstatat 262 79,
statx 332 291, statfs 137 43, fstatfs 138 44, lseek 8 62, access 21 -, faccessat 269 48,
faccessat2 439 439, readlink 89 -, readlinkat 267 78, getdents 78 -, getdents64 217 61,
getcwd 79 17, chdir 80 49, fchdir 81 50, getxattr 191 8, lgetxattr 192 9, fgetxattr 193 10,
listxattr 194 11, llistxattr 195 12, flistxattr 196 13
"""
_CHANGING = """
mkdir 83 -, mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38,
renameat2 316 276, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36, ftruncate 77 46,
fallocate 285 47, fsync 74 82, fdatasync 75 83, fadvise64 221 223, sendfile 40 71,
copy_file_range 326 285, flock 73 32, umask 95 166
"""
_DESCRIPTORS = """
dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, poll 7 -, ppoll 271 73, select 23 -,
pselect6 270 72, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -,
epoll_pwait 281 22, epoll_pwait2 441 441, eventfd 284 -, eventfd2 290 19, timerfd_create 283 85,
timerfd_settime 286 86, timerfd_gettime 287 87, sendto 44 206, recvfrom 45 207, shutdown 48 210,
getsockopt 55 209, getsockname 51 204
"""
_MEMORY = """
mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214,
mincore 27 232, msync 26 227, membarrier 324 283
"""
_PROCESS = """
exit 60 93, exit_group 231 94, getpid 39 172, getppid 110 173, gettid 186 178, getuid 102 174,
geteuid 107 175, getgid 104 176, getegid 108 177, getgroups 115 158, getresuid 118 148,
getresgid 120 150, getpgrp 111 -, getpgid 121 155, getsid 124 156, getpriority 140 141,
getrlimit 97 163, getrusage 98 165, times 100 153, sysinfo 99 179, uname 63 160, wait4 61 260,
waitid 247 95, futex 202 98, futex_waitv 449 449, set_robust_list 273 99, get_robust_list 274 100,
set_tid_address 218 96, rseq 334 293, getrandom 318 278, getcpu 309 168
"""
_TIME = """
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigsuspend 130 133,
rt_sigpending 127 136, rt_sigtimedwait 128 137, sigaltstack 131 132, restart_syscall 219 128,
pause 34 -, alarm 37 -, getitimer 36 102, setitimer 38 103, timer_create 222 107,
timer_settime 223 110, timer_gettime 224 108, timer_getoverrun 225 109, timer_delete 226 111,
nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114,
gettimeofday 96 169, time 201 -, sched_yield 24 124, sched_getaffinity 204 123,
sched_getparam 143 121, sched_getscheduler 145 120, sched_get_priority_max 146 125,
sched_get_priority_min 147 126
"""
_ATTRIBUTES = """
chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, utime 132 -, utimes 235 -,
utimensat 280 88, futimesat 261 -
"""
"""Landlock does not look at these: they are for a program that has a file system to itself."""

_FILTERED = """
clone 56 220, kill 62 129, tgkill 234 131, prctl 157 167, fcntl 72 25, ioctl 16 29,
socketpair 53 199, prlimit64 302 261, sched_setaffinity 203 122
"""

_A_THREAD = (0x3D0F00, 0x7D0F00)  # what glibc and musl call clone with to start one
_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
# Of fcntl: copies, flags and locks; not F_SETOWN, which has signals sent to any process.
_ASKED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # of ioctl: a terminal? its size; flags
_NAMES = (3, 15, 16, 23, 0x53564D41)  # of prctl: names of threads and of memory
_STREAM = (1, 1 | 0o2000000, 1 | 0o4000, 1 | 0o2000000 | 0o4000)

Conditions = tuple[tuple[int, tuple[int, ...]], ...]
"""The places of arguments, and the values that are allowed there."""


def plain(machine: str, *, attributes: bool) -> list[int]:
    """The numbers of the calls that are allowed whatever their arguments."""
    texts = [_READING, _CHANGING, _DESCRIPTORS, _MEMORY, _PROCESS, _TIME]
    named = _numbered(",".join([*texts, _ATTRIBUTES] if attributes else texts), machine)
    return sorted(named.values())


def filtered(machine: str, process: int) -> dict[int, Conditions]:
    """The calls that are allowed with some arguments: on no process but this one."""
    itself = (0, process)
    conditions: dict[str, Conditions] = {
        "clone": ((0, _A_THREAD),),
        "kill": ((0, (process,)),),
        "tgkill": ((0, (process,)),),
        "prctl": ((0, _NAMES),),
        "fcntl": ((1, _COMMANDS),),
        "ioctl": ((1, _ASKED),),
        "socketpair": ((0, (1,)), (1, _STREAM)),
        "prlimit64": ((0, itself),),
        "sched_setaffinity": ((0, itself),),
    }
    return {number: conditions[name] for name, number in _numbered(_FILTERED, machine).items()}


def _numbered(text: str, machine: str) -> dict[str, int]:
    found = {}
    for line in text.split(","):
        name, *numbers = line.split()
        number = numbers[machine == "aarch64"]
        if number != "-":
            found[name] = int(number)
    return found
