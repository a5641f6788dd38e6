"""Ways out of the sandbox, and how each would be seen to have worked.

An escape is a script that a model could write. It has worked where something outside shows it: a
secret is printed that the script does not hold, a file outside has changed, a listener has heard
something, a process has died, or lives on. `WIN` is a word that a script prints where it was let do
what it must not; it stands in no script as it is, so no traceback prints it by chance.
"""

from __future__ import annotations

import ctypes
import os
import platform
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import shared_memory
from pathlib import Path

from onrecord.programs.tools.sandbox import readable
from onrecord.programs.tools.sandbox.job import Job

WALLS = ("namespaces", "landlock", "seccomp")
_VICTIM = "import sys, time; held = sys.argv[1] * 3; print('ready', flush=True); time.sleep(120)"


@dataclass
class Scene:
    """What there is outside: a folder with a secret, listeners, and a process to attack."""

    folder: Path
    secret: str
    victim: subprocess.Popen[str]
    tcp: int
    udp: int
    memory: str
    segment: int
    descriptor: int
    heard: list[bytes] = field(default_factory=list)
    printed: str = ""
    free: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        return self.folder / "secret.txt"

    @property
    def won(self) -> bool:
        """Whether the script was let do what it must not, or has found the secret."""
        return _win(self.secret) in self.printed or self.secret in self.printed

    @property
    def has_ended(self) -> bool:
        """Whether somebody else's process has died."""
        with suppress(subprocess.TimeoutExpired):
            self.victim.wait(0.2)
        return self.victim.poll() is not None

    @property
    def has_heard(self) -> bool:
        until = time.monotonic() + 0.15
        while time.monotonic() < until and not self.heard:
            time.sleep(0.01)
        return bool(self.heard)

    @property
    def survives(self) -> bool:
        """Whether a process that calls itself by the secret still runs; it is ended. A dead one,
        which nobody has asked for yet, does not."""
        found = False
        for place in Path("/proc").glob("[0-9]*/comm"):
            with suppress(OSError):
                state = place.with_name("stat").read_text().rpartition(")")[2].split()[0]
                if place.read_text().strip() == self.secret[:15] and state not in "ZX":
                    os.kill(int(place.parent.name), signal.SIGKILL)
                    found = True
        return found


def _win(secret: str) -> str:
    return "WIN" + secret[::-1]


@dataclass(frozen=True)
class Escape:
    """A script, with {names} of the scene in it; what shows that it has worked; the walls without
    any one of which it is expected to work (the docstring of the tool says so)."""

    name: str
    code: str
    works: Callable[[Scene], bool] = lambda scene: scene.won
    relies_on: tuple[str, ...] = ()
    seconds: float = 5.0

    def script(self, scene: Scene) -> str:
        """The script for this scene."""
        values = {
            "secret_file": repr(str(scene.file)),
            "folder": repr(str(scene.folder)),
            "victim": scene.victim.pid,
            "tcp": scene.tcp,
            "udp": scene.udp,
            "memory": repr(scene.memory),
            "segment": scene.segment,
            "comm": repr(scene.secret[:15]),
            "site": repr(sysconfig.get_path("stdlib")),
            "parent": os.getpid(),
            "inherited": scene.descriptor,
        }
        text = textwrap.dedent(self.code)
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        win = f"WIN = bytes.fromhex({_win(scene.secret).encode().hex()!r}).decode()\n"
        return _FIRST + win + text


_FIRST = """
import ctypes, os, signal, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
ARM = os.uname().machine == "aarch64"
def syscall(x86, arm, *args):
    number = arm if ARM else x86
    longs = [ctypes.c_long(a) if isinstance(a, int) else a for a in (number, *args)]
    got = libc.syscall(*longs)
    if got < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got
"""


@contextmanager
def scene_in(folder: Path) -> Iterator[Scene]:
    """A scene for one escape."""
    secret = "s" + secrets.token_hex(12)
    (folder / "secret.txt").write_text(secret)
    (folder / "records").mkdir()
    (folder / "records" / secret).write_text(secret)
    folder.chmod(0o777)
    environment = {**os.environ, "A_KEY": secret}
    command = [sys.executable, "-c", _VICTIM, secret]
    victim = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    victim.stdout.readline()
    shared = shared_memory.SharedMemory(create=True, size=64)
    shared.buf[: len(secret)] = secret.encode()
    segment = _segment(secret)
    inherited = os.open(folder / "secret.txt", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    with _listening(folder, secret) as (tcp, udp, heard):
        made = Scene(folder, secret, victim, tcp, udp, shared.name, segment, inherited, heard)
        try:
            yield made
        finally:
            if made.free is not None:
                with suppress(ProcessLookupError):
                    os.killpg(made.free.pid, signal.SIGKILL)
                made.free.wait()
            os.close(inherited)
            victim.kill()
            victim.wait()
            victim.stdout.close()
            shared.close()
            shared.unlink()
            ctypes.CDLL(None).shmctl(segment, 0, None)


def _segment(secret: str) -> int:
    """System V shared memory that holds the secret."""
    library = ctypes.CDLL(None)
    library.shmat.restype = ctypes.c_void_p
    segment = int(library.shmget(0, 64, 0o1666))
    place = library.shmat(segment, None, 0)
    ctypes.memmove(place, secret.encode(), len(secret))
    library.shmdt(ctypes.c_void_p(place))
    return segment


@contextmanager
def _listening(folder: Path, secret: str) -> Iterator[tuple[int, int, list[bytes]]]:
    heard: list[bytes] = []
    stream, datagram = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    stream.bind(("127.0.0.1", 0))
    datagram.bind(("127.0.0.1", 0))
    path = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path.bind(str(folder / "u"))
    abstract = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    abstract.bind("\0" + str(folder))
    stream.listen(1)

    def accepted() -> None:
        with suppress(OSError):
            heard.append(stream.accept()[0].recv(100))

    def received(sock: socket.socket) -> None:
        with suppress(OSError):
            heard.append(sock.recv(100))

    everyone = [stream, datagram, path, abstract]
    threads = [threading.Thread(target=accepted, daemon=True)]
    threads += [threading.Thread(target=received, args=[s], daemon=True) for s in everyone[1:]]
    for thread in threads:
        thread.start()
    try:
        yield stream.getsockname()[1], datagram.getsockname()[1], heard
    finally:
        for sock in everyone:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def job(code: str, *, seconds: float = 5.0, lacking: tuple[str, ...] = ()) -> Job:
    """A job with small limits: 256 MB of memory, 8 MB of disk."""
    return {
        "code": code,
        "files": {},
        "shown": [(path, path) for path in readable.interpreter()],
        "folder": "",
        "packages": [],
        "work": "",
        "seconds": seconds,
        "memory": 256 << 20,
        "disk": 8 << 20,
        "may_lack": [],
        "lacking": list(lacking),
    }


def run_free(escape: Escape, scene: Scene) -> None:
    """Run an escape without any sandbox, in a folder of its own beside the secret. What it leaves
    running ends with the scene."""
    work = scene.folder / "work"
    work.mkdir()
    output = work.with_name("printed")
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", escape.script(scene)],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "A_KEY": scene.secret},
            close_fds=False,
            start_new_session=True,
        )
        scene.free = process
        with suppress(subprocess.TimeoutExpired):  # which may be what it wants
            process.wait(escape.seconds)
    with output.open("rb") as file:
        scene.printed = file.read(1 << 20).decode("utf-8", "replace")
        if output.stat().st_size > _FLOOD:
            scene.printed += _win(scene.secret)


_FLOOD = 20 << 20


def _changed(scene: Scene) -> bool:
    """Whether the folder outside is another than it was."""
    status = scene.file.stat() if scene.file.exists() else None
    names = {each.name for each in scene.folder.iterdir()} - {"work", "printed"}
    return (
        names != {"secret.txt", "records", "u"}
        or status is None
        or scene.file.read_text() != scene.secret
        or status.st_mode & 0o777 == 0o123
        or status.st_mtime < 1e6
    )


def _left(scene: Scene) -> bool:
    places = [scene.folder / "work", *Path(tempfile.gettempdir()).glob("onrecord-python-*")]
    return any(list(place.glob("**/left*")) for place in places if place.is_dir())


def _in_library(scene: Scene) -> bool:
    place = Path(sysconfig.get_path("stdlib")) / f"{scene.secret[:15]}.py"
    found = place.exists()
    place.unlink(missing_ok=True)
    return found


def _victims(number: Callable[[int], object], attacked: object) -> Callable[[Scene], bool]:
    return lambda scene: number(scene.victim.pid) == attacked


def _descriptors(process: int) -> int:
    import resource

    return resource.prlimit(process, resource.RLIMIT_NOFILE)[0]


_NEW = ("seccomp",)
ESCAPES = [
    # Files, to read
    Escape("read a file by its path", "print(open({secret_file}).read())"),
    Escape("read with ..", "print(open('../' * 30 + {secret_file}[1:]).read())"),
    Escape("read /etc/passwd", "print(WIN if 'root:' in open('/etc/passwd').read() else '')"),
    Escape("list a folder outside", "print(os.listdir({folder} + '/records'))"),
    Escape("walk to the records", "print([f for f in os.walk({folder})])"),
    Escape(
        "ask whether a file exists",
        "os.stat({secret_file}); print(WIN)",
        relies_on=("namespaces",),
    ),
    Escape(
        "read through a symbolic link", "os.symlink({secret_file}, 'x'); print(open('x').read())"
    ),
    Escape("read through a hard link", "os.link({secret_file}, 'x'); print(open('x').read())"),
    Escape(
        "read through a folder's descriptor",
        "f = os.open({folder}, os.O_PATH); print(os.read(os.open('secret.txt', 0, dir_fd=f), 99))",
    ),
    Escape("read what was open", "print(os.pread({inherited}, 99, 0))"),
    Escape(
        "climb out of a root",
        """
        os.mkdir("j"); os.chroot("j")
        for _ in range(50): os.chdir("..")
        os.chroot("."); print(open({secret_file}).read())
        """,
    ),
    Escape(
        "open by a handle",
        """
        handle = ctypes.create_string_buffer(8 + 128); ctypes.memmove(handle, b"\\x80\\0\\0\\0", 4)
        mount = ctypes.c_int()
        name = ctypes.c_char_p({secret_file}.encode())
        syscall(303, 264, -100, name, handle, ctypes.byref(mount), 0)
        f = syscall(304, 265, os.open("/", 0), handle, 0); print(os.read(f, 99))
        """,
    ),
    # Other processes, to read
    Escape("the environment", "print(dict(os.environ))"),
    Escape("another's environment", "print(open('/proc/{victim}/environ').read())"),
    Escape("another's arguments", "print(open('/proc/{victim}/cmdline').read())"),
    Escape("another's folder", "print(open('/proc/{victim}/cwd/secret.txt').read())"),
    Escape("another's root", "print(open('/proc/{victim}/root' + {secret_file}).read())"),
    Escape(
        "another's memory as a file",
        """
        for line in open("/proc/{victim}/maps"):
            if "[heap]" in line:
                a, b = (int(x, 16) for x in line.split()[0].split("-"))
                os.pread(os.open("/proc/{victim}/mem", 0), b - a, a); print(WIN)
        """,
    ),
    Escape(
        "another's memory by a system call",
        """
        class V(ctypes.Structure): _fields_ = [("b", ctypes.c_void_p), ("n", ctypes.c_size_t)]
        mine = ctypes.create_string_buffer(8)
        place = id(int)  # the same in a copy of this interpreter, or an error other than EPERM
        local, far = V(ctypes.addressof(mine), 8), V(place, 8)
        try: syscall(310, 270, {victim}, ctypes.byref(local), 1, ctypes.byref(far), 1, 0)
        except OSError as e:
            if e.errno != 14: raise
        print(WIN)
        """,
    ),
    Escape("trace another", "syscall(101, 117, 16, {victim}, 0, 0); print(WIN)"),
    Escape(
        "shared memory of another",
        "print(open('/dev/shm/' + {memory}, 'rb').read())",
    ),
    Escape(
        "System V memory of another",
        """
        libc.shmat.restype = ctypes.c_void_p
        place = libc.shmat({segment}, None, 0)
        if place != ctypes.c_void_p(-1).value: print(ctypes.string_at(place, 64))
        """,
    ),
    Escape(
        "the kernel's log",
        "b = ctypes.create_string_buffer(99)\nif libc.klogctl(10, b, 99) > 0: print(WIN)",
    ),
    Escape(
        "make a device",
        "os.mknod('d', 0o20600, os.makedev(1, 5)); open('d', 'rb').read(1); print(WIN)",
    ),
    # Files, to change
    Escape("write outside", "open({folder} + '/new', 'w').write('x')", _changed),
    Escape("write over", "open({secret_file}, 'w').write('x')", _changed),
    Escape(
        "write through a link",
        "os.symlink({secret_file}, 'x'); open('x', 'a').write('x')",
        _changed,
    ),
    Escape("truncate", "os.truncate({secret_file}, 0)", _changed),
    Escape("delete", "os.unlink({secret_file})", _changed),
    Escape("move out", "open('x', 'w'); os.rename('x', {folder} + '/new')", _changed),
    Escape("move in", "os.rename({secret_file}, 'x')", _changed),
    Escape("make a folder outside", "os.mkdir({folder} + '/new')", _changed),
    Escape("change a mode", "os.chmod({secret_file}, 0o123)", _changed),
    Escape("change a time", "os.utime({secret_file}, (1, 1))", _changed),
    Escape(
        "write into the standard library", "open({site} + '/' + {comm} + '.py', 'w')", _in_library
    ),
    Escape("leave a file with a huge name", "open('left' + 'x' * 240, 'w')", _left),
    Escape(
        "mount",
        """
        os.mkdir("m")
        if not libc.mount(b"none", b"m", b"tmpfs", 0, b""): print(WIN); libc.umount2(b"m", 2)
        """,
    ),
    Escape(
        "a name space of one's own",
        "if not libc.unshare(0x10000000 | 0x20000): print(WIN)",
        relies_on=_NEW,
    ),
    # The network
    Escape(
        "TCP", "socket.create_connection(('127.0.0.1', {tcp})).send(b'x')", lambda s: s.has_heard
    ),
    Escape(
        "UDP, and with it DNS",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))",
        lambda s: s.has_heard,
    ),
    Escape(
        "a socket in a folder",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', {folder} + '/u')",
        lambda s: s.has_heard,
    ),
    Escape(
        "a socket without a folder",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', chr(0) + {folder})",
        lambda s: s.has_heard,
    ),
    Escape(
        "one of a pair of sockets, sent elsewhere",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', {folder} + '/u')",
        lambda s: s.has_heard,
    ),
    Escape(
        "netlink",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).bind((0, 0)); print(WIN)",
        relies_on=_NEW,
    ),
    Escape("raw packets", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print(WIN)"),
    Escape("raw ICMP", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print(WIN)"),
    Escape("serve", "s = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen(); print(WIN)"),
    # Programs and processes
    Escape(
        "a shell", "import subprocess; subprocess.run(['/bin/sh', '-c', 'cat ' + {secret_file}])"
    ),
    Escape("os.system", "os.system('cat ' + {secret_file})"),
    Escape(
        "become another program",
        "os.execv('/bin/cat', ['cat', {secret_file}])",
    ),
    Escape(
        "a program in memory",
        """
        f = os.memfd_create("x", 0); os.write(f, open("/usr/bin/true", "rb").read())
        os.posix_spawn(f"/proc/self/fd/{f}", ["x"], {}); print(WIN)
        """,
    ),
    Escape(
        "a fork bomb",
        """
        for n in range(20):
            if os.fork() == 0: time.sleep(1); os._exit(0)
        print(WIN)
        """,
        relies_on=_NEW,
    ),
    Escape(
        "fork by number",
        "child = syscall(56, 220, 17, 0, 0, 0, 0)\nif child: print(WIN)\nelse: os._exit(0)",
        relies_on=_NEW,
    ),
    Escape(
        "a copy in another session lives on",
        """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                libc.prctl(15, {comm}.encode())
                for f in range(3): os.close(f)
                time.sleep(60)
            os._exit(0)
        time.sleep(0.3)
        """,
        lambda s: s.survives,
    ),
    Escape(
        "an exit function that never ends",
        """
        import atexit
        libc.prctl(15, {comm}.encode())
        atexit.register(time.sleep, 60)
        """,
        lambda s: s.survives,
        seconds=0.5,
    ),
    Escape(
        "the calls of another machine",
        """
        import mmap
        code = mmap.mmap(-1, 4096, prot=7)  # int 0x80: getpid of the 32-bit table; ret
        code.write(bytes.fromhex("b814000000cd80c3"))
        place = ctypes.addressof(ctypes.c_char.from_buffer(code))
        if not ARM and ctypes.CFUNCTYPE(ctypes.c_int)(place)() > 0: print(WIN)
        """,
        relies_on=_NEW,
    ),
    # Signals and settings of others
    Escape("kill another", "os.kill({victim}, 9)", lambda s: s.has_ended),
    Escape("kill by a thread's number", "syscall(200, 130, {victim}, 9)", lambda s: s.has_ended),
    Escape(
        "kill by a descriptor",
        "signal.pidfd_send_signal(os.pidfd_open({victim}), 9)",
        lambda s: s.has_ended,
    ),
    Escape(
        "have the kernel kill it",
        """
        import fcntl
        r, w = os.pipe()
        fcntl.fcntl(r, fcntl.F_SETOWN, {victim}); fcntl.fcntl(r, 10, 9)
        fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC); os.write(w, b"x"); time.sleep(0.1)
        """,
        lambda s: s.has_ended,
    ),
    Escape(
        "another's limits",
        "import resource; resource.prlimit({victim}, resource.RLIMIT_NOFILE, (77, 77))",
        _victims(_descriptors, 77),
    ),
    Escape(
        "another's rank",
        "os.setpriority(os.PRIO_PROCESS, {victim}, 7)",
        _victims(lambda pid: os.getpriority(os.PRIO_PROCESS, pid), 7),
    ),
    Escape(
        "another's processors",
        "os.sched_setaffinity({victim}, [min(os.sched_getaffinity({victim}))])",
        lambda s: os.cpu_count() != 1 and len(os.sched_getaffinity(s.victim.pid)) == 1,
    ),
    Escape("be root", "os.setresuid(0, 0, 0); print(WIN)"),
    # What the kernel is asked for
    Escape(
        "io_uring",
        "p = ctypes.create_string_buffer(120); syscall(425, 425, 1, p); print(WIN)",
        relies_on=_NEW,
    ),
    Escape(
        "bpf",
        """
        a = (ctypes.c_uint32 * 16)(1, 4, 4, 1)
        syscall(321, 280, 0, ctypes.byref(a), 64); print(WIN)
        """,
    ),
    Escape("keys", "syscall(248, 217, b'user', b'left', b'x', 1, -3); print(WIN)", relies_on=_NEW),
    Escape(
        "performance counters",
        """
        a = (ctypes.c_uint32 * 32)(1, 128)
        syscall(298, 241, ctypes.byref(a), 0, -1, -1, 0); print(WIN)
        """,
        relies_on=_NEW,
    ),
    Escape("page faults", "syscall(323, 282, 1); print(WIN)", relies_on=_NEW),
    # More than its share
    Escape("memory", "b = bytearray(400 << 20); print(WIN)"),
    Escape(
        "memory in files that are none",
        """
        for n in range(20):
            f = os.memfd_create(str(n)); os.pwrite(f, bytes(1 << 20), 1 << 20)
        print(WIN)
        """,
        relies_on=_NEW,
    ),
    Escape(
        "higher limits",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 5000)); print(WIN)",
    ),
    Escape(
        "threads",
        """
        threading.stack_size(1 << 16); wait = threading.Event()
        for n in range(300): threading.Thread(target=wait.wait, daemon=True).start()
        print(WIN)
        """,
        relies_on=("namespaces",),
    ),
    Escape("open files", "kept = [open(os.devnull) for n in range(200)]; print(WIN)"),
    Escape(
        "one large file",
        "f = open('x', 'wb')\nfor n in range(32): f.write(bytes(1 << 20))\nf.close(); print(WIN)",
    ),
    Escape(
        "many files",
        """
        for n in range(40): open(str(n), "wb").write(bytes(1 << 20))
        time.sleep(0.5); print(WIN)
        """,
    ),
    Escape(
        "many names",
        "for n in range(12_000): open(str(n), 'w').close()\ntime.sleep(0.5); print(WIN)",
    ),
    Escape(
        "time",
        "libc.prctl(15, {comm}.encode())\nwhile True: pass",
        lambda s: s.survives,
        seconds=0.5,
    ),
    Escape(
        "time, deaf to signals",
        """
        libc.prctl(15, {comm}.encode())
        for n in range(1, 32):
            if n not in (9, 19): signal.signal(n, signal.SIG_IGN)
        while True:
            try: time.sleep(60)
            except BaseException: pass
        """,
        lambda s: s.survives,
        seconds=0.5,
    ),
    Escape(
        "sleep",
        "libc.prctl(15, {comm}.encode()); time.sleep(60)",
        lambda s: s.survives,
        seconds=0.5,
    ),
    Escape(
        "a flood of words",
        "for n in range(30_000): print('x' * 1000)\nprint(WIN)",
    ),
    Escape(
        "a flood of errors",
        "for n in range(30_000): print('x' * 1000, file=sys.stderr)\nprint(WIN)",
    ),
]
"""Most of them; `test_sandbox.py` adds what takes more than one call."""

if platform.machine() == "aarch64":  # there is no other table of calls
    ESCAPES = [each for each in ESCAPES if each.name != "the calls of another machine"]
