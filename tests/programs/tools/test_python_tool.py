"""The tool `python`: what a model's code gives, and what it meets. Real processes."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

import onrecord as on
from onrecord.errors import UsageError
from onrecord.programs.tools.python_tool import PythonResult, python
from onrecord.prompts.schemas import Unfit
from onrecord.records.store import Store

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="module")
def able() -> None:
    try:
        python().run("1")
    except UsageError as error:
        pytest.skip(str(error))


def running(word: str) -> list[int]:
    """The processes that call themselves by a word and are not dead."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
            if (place / "comm").read_text().strip() == word and state not in "ZX":
                found.append(int(place.name))
    return found


def named(word: str) -> str:
    return f"import ctypes; ctypes.CDLL(None).prctl(15, {word!r}.encode())\n"


async def gone(word: str) -> bool:
    for _ in range(200):
        if not running(word):
            return True
        await asyncio.sleep(0.02)
    return False


async def there(word: str) -> None:
    for _ in range(500):
        if running(word):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{word} never ran")


async def test_what_it_prints_and_what_its_last_line_is_worth() -> None:
    result = await python()("print('one')\nimport sys\nprint('two', file=sys.stderr)\n40 + 2")
    assert result == PythonResult("one\ntwo\n", 0, "42")
    assert msgspec.json.encode(result) == b'{"output":"one\\ntwo\\n","exit_status":0,"value":"42"}'


async def test_no_value_where_the_last_line_is_none() -> None:
    tool = python()
    assert await tool("") == PythonResult("", 0)
    assert (await tool("x = 1")).value is None
    assert (await tool("print('x')")).value is None
    assert (await tool("'text'")).value == "'text'"


async def test_errors_are_shown_with_the_lines_of_the_code_alone() -> None:
    result = await python()("def f():\n    return 1 / 0\n\nf()")
    assert result.exit_status == 1
    assert "return 1 / 0" in result.output and "ZeroDivisionError" in result.output
    assert "sandbox" not in result.output and str(ROOT) not in result.output
    syntax = await python()("def f(:\n    pass")
    assert "SyntaxError" in syntax.output and "program.py" not in syntax.output


@pytest.mark.parametrize(
    ("code", "status", "output"),
    [
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("import os; os._exit(7)", 7, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import ctypes; ctypes.string_at(0)", -11, ""),
        ("import atexit; atexit.register(print, 'end')", 0, "end\n"),
        ("import threading as t; t.Thread(target=lambda: print('in')).start()", 0, "in\n"),
        ("if __name__ == '__main__': print(__name__)", 0, "__main__\n"),
        ("print('\\ud800')", 0, "\\ud800\n"),
        ("exit(4)", 4, ""),
        ("import os; os.closerange(0, 100)", 0, ""),
        ("import sys; sys.stdout = None; print(1)", 0, ""),
    ],
)
async def test_it_ends_as_a_script_does(code: str, status: int, output: str) -> None:
    result = await python()(code)
    assert (result.exit_status, result.output) == (status, output)
    assert result.stopped is None and not result.cut


async def test_what_it_says_of_itself_is_only_its_word() -> None:
    forge = (
        "import os\nfor f in range(3, 10):\n    try: os.write(f, {!r})\n    except OSError: pass\n"
    )
    result = await python()(forge.format(b"ended 9 disk namespaces\n") + "import sys; sys.exit(3)")
    assert (result.exit_status, result.stopped, result.lacking) == (3, None, ())
    forged = await python()(forge.format(b"Vforged"))
    assert (forged.exit_status, forged.value) == (0, "forged")
    stopped = await python(seconds=0.5)("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    assert stopped.stopped == "time"


async def test_classes_can_be_pickled_and_asyncio_runs() -> None:
    result = await python()(
        "import asyncio, pickle\n"
        "class Point:\n    x = 1\n"
        "async def wait():\n    await asyncio.sleep(0.01)\n    return 'waited'\n"
        "pickle.loads(pickle.dumps(Point())).x, asyncio.run(wait())"
    )
    assert result.value == "(1, 'waited')", result.output


async def test_usual_modules_work() -> None:
    result = await python()(
        "import csv, datetime, decimal, hashlib, json, math, re, shutil, sqlite3, ssl, statistics\n"
        "import tempfile, zipfile, zoneinfo, concurrent.futures as f\n"
        "with zipfile.ZipFile('a.zip', 'w') as z: z.writestr('x', 'y')\n"
        "shutil.copy2('a.zip', 'b.zip')\n"
        "db = sqlite3.connect('a.db'); db.execute('create table t (a)'); db.commit()\n"
        "open(tempfile.mkstemp()[1], 'w').write('x')\n"
        "at = datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))\n"
        "at.utcoffset().seconds, list(f.ThreadPoolExecutor(4).map(abs, [-1, 2]))"
    )
    assert result.value == "(7200, [1, 2])", result.output


async def test_nothing_is_left_between_calls() -> None:
    tool = python()
    await tool("open('kept', 'w').write('x'); import os; os.environ['KEPT'] = 'x'; kept = 1")
    result = await tool("import os\nos.listdir('.'), 'KEPT' in os.environ, 'kept' in globals()")
    assert result.value == "([], False, False)"
    assert not list(Path(tempfile.gettempdir()).glob("onrecord-python-*"))


async def test_it_is_the_same_each_time() -> None:
    code = "import os, time\nhash('a'), list({'b', 'c', 'd'}), sorted(os.environ), time.tzname"
    one, two = await asyncio.gather(python()(code), python()(code))
    assert one == two
    assert "A_KEY" not in str(one.value)


async def test_no_input_and_no_module_of_onrecord(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    result = await python()("input()")
    assert "EOFError" in result.output
    result = await python()("import sys\n[m for m in sys.modules if 'onrecord' in m]")
    assert result.value == "[]"
    assert "ModuleNotFoundError" in (await python()("import onrecord")).output


async def test_files_and_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "a.csv").write_text("1,2")
    (folder / "helper.py").write_text("x = 5")
    tool = python(files={"in/b.txt": "hé", "c.bin": b"\0"}, folder=folder)
    assert "c.bin, in/b.txt" in tool.schema.description and "`input`" in tool.schema.description
    result = await tool(
        "import sys; sys.dont_write_bytecode = False; sys.path.insert(0, 'input'); import helper\n"
        "open('in/b.txt').read(), open('c.bin', 'rb').read(), open('input/a.csv').read(), helper.x"
    )
    assert result.value == "('hé', b'\\x00', '1,2', 5)", result.output
    for code in ("open('input/new', 'w')", "import os; os.remove('input/a.csv')"):
        assert (await tool(code)).exit_status == 1
    assert sorted(each.name for each in folder.iterdir()) == ["a.csv", "helper.py"]


async def test_packages_are_there_on_request_only() -> None:
    code = "import numpy\nint(numpy.linalg.det(numpy.eye(3)))"
    assert "ModuleNotFoundError" in (await python()(code)).output
    tool = python(packages=True)
    assert (await tool(code)).value == "1"
    assert "packages installed here" in tool.schema.description
    write = await tool("import numpy, os; open(os.path.dirname(numpy.__file__) + '/x', 'w')")
    assert write.exit_status == 1


async def test_long_output_is_cut_in_the_middle() -> None:
    result = await python(max_output=1000)("for n in range(10_000): print(n)")
    assert result.cut and result.exit_status == 0
    assert result.output.startswith("0\n1\n") and result.output.endswith("9999\n")
    assert "bytes left out" in result.output and len(result.output) < 1100
    exact = await python(max_output=1000)("print('x' * 999)")
    assert exact.output == "x" * 999 + "\n" and not exact.cut
    assert (await python(max_output=1000)("'x' * 100_000")).cut


async def test_a_flood_is_ended_and_takes_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await python(seconds=30)("while True: print('x' * 10_000)")
    assert result.stopped == "output" and result.cut
    assert len(result.output) < 21_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


async def test_limits_are_told() -> None:
    slow, memory = await asyncio.gather(
        python(seconds=0.5)("print('begun')\nwhile True: pass"),
        python(memory_mb=128)("x = bytearray(200 << 20)"),
    )
    assert (slow.stopped, slow.output, slow.exit_status) == ("time", "begun\n", -9)
    assert memory.stopped == "memory" and "MemoryError" in memory.output


async def test_many_at_once_and_the_loop_goes_on() -> None:
    tool, ticks = python(seconds=60), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    results = await asyncio.gather(*(tool(f"import time; time.sleep(0.2)\n{n}") for n in range(20)))
    ticking.cancel()
    assert [each.value for each in results] == [str(n) for n in range(20)]
    assert ticks > 20


async def test_cancelling_ends_the_program() -> None:
    for lacking in ((), ("namespaces",)):
        word = f"cancelled{len(lacking)}"
        code = named(word) + "import time\nwhile True: time.sleep(1)"
        calling = asyncio.create_task(python(seconds=100, may_lack=lacking)(code))
        await there(word)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await gone(word)


async def test_it_ends_with_the_process_that_wanted_it(tmp_path: Path) -> None:
    code = named("orphaned") + "import time\nwhile True: time.sleep(1)"
    script = (
        f"from onrecord.programs.tools.python_tool import python\npython(seconds=100).run({code!r})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment)
    try:
        await there("orphaned")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert await gone("orphaned")


def test_from_threads() -> None:
    tool, values = python(), []
    threads = [
        threading.Thread(target=lambda n=n: values.append(tool.run(str(n)).value)) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == ["0", "1", "2", "3"]


async def test_what_the_model_is_told_and_what_it_may_write() -> None:
    tool = python(name="compute", seconds=3, memory_mb=100)
    assert tool.schema.name == "compute"
    assert "At most 3 seconds and 100 MB" in tool.schema.description
    assert tool.schema.parameters["required"] == ["code"]
    assert await tool.called(tool.read('{"code": "1 + 1"}')) == PythonResult("", 0, "2")
    with pytest.raises(Unfit):
        tool.read('{"code": 1}')
    assert python(approve=True).needs_approval({"code": "1"})


async def test_it_is_on_record(project: Path) -> None:
    tool = python()

    @on.flow
    async def work() -> str:
        return str((await tool("print('said')")).output)

    assert await work() == "said\n"
    record = next(each for each in Store(project / ".onrecord").records() if each.name == "python")
    assert record.kind == "tool" and "print('said')" in str(record.input)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 0}, "seconds=0"),
        ({"seconds": "5"}, "seconds='5'"),
        ({"memory_mb": 1}, "memory_mb=1"),
        ({"disk_mb": True}, "disk_mb=True"),
        ({"max_output": 0}, "max_output=0"),
        ({"name": "a b"}, "no name of a tool"),
        ({"may_lack": "seccomp"}, "several"),
        ({"may_lack": ["walls"]}, "no wall of the sandbox"),
        ({"files": {"../x": ""}}, "no name of a file"),
        ({"files": {"/x": ""}}, "no name of a file"),
        ({"files": {"x": 5}}, "not str or bytes"),
        ({"files": {"x": bytes(2 << 20)}, "disk_mb": 1}, "larger than disk_mb"),
        ({"folder": "not-there"}, "not there"),
    ],
)
def test_options_that_are_none(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        python(**options)  # type: ignore[arg-type]  # what is wrong with them is the test


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is not the one who runs the program")
def test_a_folder_that_only_root_may_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="chmod"):
        python(folder=tmp_path)  # pytest makes it for its owner only


_WITHOUT = """
import sys
from onrecord.errors import UsageError
from onrecord.programs.tools.python_tool import python
try:
    print(python().run("1"))
except UsageError as error:
    print(error)
print(python(may_lack=["namespaces"]).run("open('x', 'w').write('y')\\nopen('x').read()"))
print(python(may_lack=["namespaces"]).run("open('/etc/passwd')").exit_status)
"""


def test_a_machine_without_namespaces_is_refused_or_named(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is not installed")
    script = tmp_path / "script.py"
    script.write_text(_WITHOUT)
    command = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$1"'
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", command, sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    refused, weak, status = done.stdout.splitlines()
    assert "lacks namespaces (" in refused and "python(may_lack=['namespaces'])" in refused
    assert "value=\"'y'\"" in weak and "lacking=('namespaces',)" in weak
    assert status == "1"
    assert not list(Path(tempfile.gettempdir()).glob("onrecord-python-*"))
