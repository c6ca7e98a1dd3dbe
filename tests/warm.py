"""Commands as processes of their own, without the seconds that each takes to import torch and transformers.

    process = warm.Popen([LLEM, "run", "x.yaml"], env=..., cwd=...)  # subprocess.Popen in all else

An interpreter beside the tests has imported what our commands import, and waits. Asked for a command, it forks. The
fork is a child of the process that asked; it takes the folder, the environment, the streams, the session and the
terminal that `subprocess` would have given it, runs the command's own file (or `-c` code, or `-m` module) as
`__main__`, and ends as Python ends. So its pid, signals, exit code, files and children are a process's; what it starts
itself starts cold.

Warm are the imports alone: no model, no file, no result. What libraries read while they are imported is read once,
before any test, in the environment of `SETTINGS`. A command is therefore started cold, by `subprocess` itself, where
- its environment has a variable that `is_read_late` does not know, or PYTHONPATH names more than the stand-in for
  NVIDIA's library: libraries that are hidden or print, hubs that do not answer, encodings, threads;
- it has an option of Python's own before its script, or `--verbose`, which has libraries log while they are imported;
- a test says `cold=True`, because how Python starts is its subject: what is imported when, closed streams.
Nothing is warm on systems other than Linux, where a process cannot adopt the children of its children.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import inspect
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

IMPORTED = (
    "llenergymeasure.cli.main",
    "llenergymeasure.api",
    "llenergymeasure.harness",
    "llenergymeasure.backends.openai.load",
    "llenergymeasure.backends.pytorch.backend",
    "payment_simulator.cli.main",
    "payment_simulator.experiments.runner",
    "peft",
    "torch",
    "torch._dynamo",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
)
SETTINGS = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8"}
QUIET = {  # as a command sets them that is not asked to be verbose
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
}
READ_LATE = {
    *(
        "COLUMNS",
        "HOME",
        "PATH",
        "TMPDIR",
        "PYTHONPATH",
        "CUDA_VISIBLE_DEVICES",
        "KUBERNETES_SERVICE_HOST",
        "NVML_STANDIN",
    ),
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "TORCHELASTIC_USE_AGENT_STORE",
}
NVML_STANDIN = str(Path(__file__).parent / "standins" / "nvml")
MAX_MESSAGE_BYTES = 1 << 17
PATIENCE_S = 120.0
ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER


def is_read_late(name: str) -> bool:
    """Whether an environment variable has no effect on what is imported, only on what is then done."""
    return name in READ_LATE or name.startswith("XDG_") or name.endswith("_API_KEY")


def can_be_warm(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command of Python's does the same in a fork of the warm interpreter as in one of its own."""
    if sys.platform != "linux" or "--verbose" in command:
        return False
    if environment.get("PYTHONPATH", NVML_STANDIN) != NVML_STANDIN:
        return False
    early = {name: value for name, value in environment.items() if not is_read_late(name)}
    early.pop("LD_LIBRARY_PATH", None)  # the tests' own
    return early == SETTINGS


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """A process of a Python program: a script of this environment, or `sys.executable` with `-c` or `-m`.

    `terminal`: its stderr is a terminal that shall control it, in a session of its own. It heeds Ctrl-C even where the
    tests ignore it, as they do in a shell's background.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cold: bool = False,
        terminal: bool = False,
        start_new_session: bool = False,
        **options: Any,
    ) -> None:
        words = [os.fspath(word) for word in command]
        self._warm = not cold and _argv(words) is not None and can_be_warm(words, env)
        self._terminal = terminal
        options |= {} if self._warm else {"preexec_fn": _take_terminal if terminal else _heed_ctrl_c}
        super().__init__(words, env=env, start_new_session=start_new_session or terminal, **options)

    def _execute_child(self, *arguments: Any) -> None:
        """Where `subprocess` forks and executes. The names of its arguments are older than this by ten years."""
        if not self._warm:
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        given = inspect.signature(super()._execute_child).bind(*arguments).arguments  # type: ignore[misc]
        theirs = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [own if fd == -1 else fd for own, fd in enumerate(theirs)]
        request = {
            "command": _argv(given["args"]),
            "cwd": os.path.abspath(given["cwd"] or os.getcwd()),
            "environment": dict(given["env"]),
            "new_session": given["start_new_session"],
            "terminal": self._terminal,
        }
        try:
            self.pid = _Interpreter.running().fork(request, streams)
            self._child_created = True
        finally:
            pipes = (("p2cread", "p2cwrite"), ("c2pwrite", "c2pread"), ("errwrite", "errread"))
            ours = [given[its_end] for its_end, our_end in pipes if -1 not in (given[its_end], given[our_end])]
            for fd in [*ours, *filter(None, [getattr(self, "_devnull", None)])]:
                os.close(fd)
            self._closed_child_pipe_fds = True


def _argv(words: Sequence[str]) -> list[str] | None:
    """A command line without the interpreter: our script, or `-c` or `-m`, and its arguments; None for any other."""
    if words[0] == sys.executable:
        words = words[1:]
        return list(words) if words[:1] in (["-c"], ["-m"]) else None
    is_ours = Path(words[0]).parent == Path(sys.executable).parent and Path(words[0]).name in ("llem", "payment-sim")
    return list(words) if is_ours else None


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_terminal() -> None:
    fcntl.ioctl(2, termios.TIOCSCTTY, 0)
    _heed_ctrl_c()


def own_children() -> list[psutil.Process]:
    """The processes that this one has started; the warm interpreter is none of them."""
    running = _Interpreter._running
    return [each for each in psutil.Process().children() if running is None or each.pid != running._process.pid]


class _Interpreter:
    """The warm interpreter of this process, started when it is first needed; it ends when this process does."""

    _running: "_Interpreter | None" = None

    @classmethod
    def running(cls) -> "_Interpreter":
        if cls._running is None or cls._running._owner != os.getpid() or cls._running._process.poll() is not None:
            cls._running = cls()
        return cls._running

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._turn = threading.Lock()
        self._channel, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
        self._home = tempfile.TemporaryDirectory(prefix="warm-")  # where libraries look for caches; it stays empty
        with its_end:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(its_end.fileno())],
                env={**kept, "HOME": self._home.name, **SETTINGS},
                stdin=subprocess.DEVNULL,
                pass_fds=[its_end.fileno()],
            )
        self._channel.settimeout(PATIENCE_S)

    def fork(self, request: Mapping[str, Any], streams: Sequence[int]) -> int:
        """Start a command; its pid, of a child of this process."""
        with self._turn, _adopting_orphans():
            socket.send_fds(self._channel, [json.dumps(request).encode()], streams)
            pid = int(self._channel.recv(MAX_MESSAGE_BYTES) or b"0")
        parent = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
        if int(parent) != os.getpid():
            raise RuntimeError(f"the warm interpreter's fork {pid} is not this process's child: start cold")
        return pid


@contextlib.contextmanager
def _adopting_orphans() -> Any:
    """Meanwhile a grandchild whose parent ends becomes a child of this process."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(ADOPT_ORPHANS, 0, 0, 0, 0)


def _serve(channel: socket.socket) -> list[str]:
    """In the warm interpreter: fork at each request. In each fork: become what it asks for; the command to be run."""
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in IMPORTED:
            importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is for the tests
    gc.collect()
    gc.freeze()  # what is shared with forks stays shared
    while True:
        message, streams, _, _ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, 3)
        if not message:
            os._exit(0)
        if (between := os.fork()) == 0:
            between = os.getpid()
            if os.fork() == 0:
                while os.getppid() == between:
                    time.sleep(0.0002)
                channel.send(str(os.getpid()).encode())
                return _become(channel, json.loads(message), streams)
            os._exit(0)
        os.waitpid(between, 0)
        for stream in streams:
            os.close(stream)


def _become(channel: socket.socket, request: Mapping[str, Any], streams: Sequence[int]) -> list[str]:
    if request["new_session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    channel.detach()
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    if request["terminal"]:
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)
    _heed_ctrl_c()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.stdin, sys.stdout, sys.stderr = _stream(0, "r"), _stream(1, "w"), _stream(2, "w")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    return list(request["command"])


def _stream(number: int, mode: str) -> io.TextIOWrapper:
    """A standard stream as Python opens it in the locale C.UTF-8."""
    raw = io.FileIO(number, mode, closefd=False)
    errors = "backslashreplace" if number == 2 else "surrogateescape"
    buffered = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    stream = io.TextIOWrapper(buffered, "utf-8", errors, line_buffering=number == 2 or raw.isatty())
    stream.mode = mode
    raw.name = ("<stdin>", "<stdout>", "<stderr>")[number]
    return stream


def _run_to_the_end(command: Sequence[str]) -> None:
    """Run a command line and exit: as Python does, but that the memory of so many modules is not given back singly."""
    code = 0
    try:
        _run(command)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        sys.exit(code)  # Python has its own words and code for it
    os._exit(code & 0xFF)


def _run(command: Sequence[str]) -> None:
    """Run a command line of Python's as Python does."""
    paths = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    if paths:
        sys.modules.pop("pynvml", None)  # torch has imported NVIDIA's own
    if command[0] == "-c":
        sys.argv, sys.path[:1] = ["-c", *command[2:]], ["", *paths]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(command[1], "<string>", "exec"), main.__dict__)  # noqa: S102 - as `python -c` does
    elif command[0] == "-m":
        sys.argv, sys.path[:1] = list(command[1:]), [os.getcwd(), *paths]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[:1] = list(command), [os.path.dirname(command[0]), *paths]
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _channel:
        _command = _serve(_channel)
    _run_to_the_end(_command)
