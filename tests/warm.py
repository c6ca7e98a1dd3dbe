"""Commands as processes of their own, without the seconds that each takes to import torch and transformers.

    process = warm.Popen([LLEM, "run", "x.yaml"], env=..., cwd=...)  # subprocess.Popen in all else

An interpreter beside the tests has imported what our commands import, and waits. Asked for a command, it forks. The
fork is a child of the process that asked; it takes the folder, the environment, the streams, the session and the
terminal that `subprocess` would have given it, and the umask, limits, processors, priority and signals of who asked.
It runs the command's own file (or `-c` code, or `-m` module) as `__main__`, and ends as Python ends. So its pid,
signals, exit code, files and children are a process's, and its random numbers are its own. What it starts itself is
cold, but for the workers of a run, or runs of their own, where a test asks for that.

All forks order sets of texts alike, since Python chooses that when it starts. A test that two runs agree makes one of
them elsewhere: in the tests' own process, or cold.

Warm are the imports alone: no model, no file, no result. What libraries read while they are imported is read once,
before any test, in the environment of `SETTINGS`. A command is therefore started cold, by `subprocess` itself, where
- its environment has a variable that `is_read_late` does not know, or PYTHONPATH names more than the stand-in for
  NVIDIA's library: libraries that are hidden or print, hubs that do not answer, encodings, threads;
- it has an option of Python's own before its script, or `--verbose`, which has libraries log while they are imported;
- it is to have what a fork cannot be given: an option of `subprocess` that is not `HEEDED`, limits on memory or a
  process group other than the interpreter's;
- a test says `cold=True`, because how Python starts is its subject: what is imported when, closed streams.
Nothing is warm on systems other than Linux, where a process cannot adopt the children of its children.
"""

import atexit
import contextlib
import ctypes
import fcntl
import functools
import gc
import importlib
import inspect
import io
import json
import os
import re
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

import psutil

IMPORTED = (
    "llenergymeasure.cli.main",
    "llenergymeasure.api",
    "llenergymeasure.run.harness",
    "llenergymeasure.backends.openai.load.driver",
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
QUIET = {  # as a command sets them that is not asked to be verbose, and a test of servers
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
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
    "LLEM_RUN",
}
NVML_STANDIN = str(Path(__file__).parent / "standins" / "nvml")
WORKERS = ("llenergymeasure.parallel.worker", "llenergymeasure.cli.separate_run")
MAX_MESSAGE_BYTES = 1 << 17
MAX_SHOWN_BYTES = 1 << 13
MAX_DESCRIPTORS = 16
PATIENCE_S = 120.0
ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER
HEEDED = {  # of the options of `subprocess.Popen`
    *("cwd", "stdin", "stdout", "stderr", "pass_fds", "start_new_session"),
    *("bufsize", "text", "universal_newlines", "encoding", "errors", "pipesize"),
}
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
OF_MEMORY = (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_STACK)
PYTHONS_OWN = {signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ}  # which it sets as it starts


def is_read_late(name: str) -> bool:
    """Return True if an environment variable has no effect on what is imported, only on what is then done."""
    return name in READ_LATE or name.startswith("XDG_") or name.endswith("_API_KEY")


def can_be_warm(command: Sequence[str | Path], environment: Mapping[str, str]) -> bool:
    """Return True if a command does the same in a fork of the warm interpreter as in an interpreter of its own."""
    if sys.platform != "linux" or _words_for_python(command) is None or "--verbose" in command:
        return False
    if environment.get("PYTHONPATH", NVML_STANDIN) != NVML_STANDIN:
        return False
    same = QUIET | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    early = {name: value for name, value in environment.items() if not is_read_late(name) and same.get(name) != value}
    return early == SETTINGS


class _Forked(subprocess.Popen):
    """`subprocess.Popen` whose child is a fork of the interpreter at `_address`, if there is one."""

    _address: str | None
    _terminal = _workers = False

    def _execute_child(self, *arguments: Any) -> None:
        """Replace what forks in `subprocess`. The names of its arguments are ten years older than this file."""
        if self._address is None:
            super()._execute_child(*arguments)
            return
        given = inspect.signature(super()._execute_child).bind(*arguments).arguments
        theirs = enumerate(given[name] for name in ("p2cread", "c2pwrite", "errwrite"))
        descriptors = {number: number if fd == -1 else fd for number, fd in theirs}
        request = {
            "command": _words_for_python(given["args"]),
            "cwd": os.path.abspath(given["cwd"] or os.getcwd()),
            "environment": dict(given["env"]),
            "new_session": given["start_new_session"],
            "terminal": self._terminal,
            "workers": self._workers,
            "inherited": _inherited(),
        }
        try:
            self.pid = _fork(self._address, request, descriptors | {fd: fd for fd in given["pass_fds"]})
            self._child_created = True
        finally:
            pipes = (("p2cread", "p2cwrite"), ("c2pwrite", "c2pread"), ("errwrite", "errread"))
            ours = [given[its_end] for its_end, our_end in pipes if -1 not in (given[its_end], given[our_end])]
            for fd in [*ours, *filter(None, [getattr(self, "_devnull", None)])]:
                os.close(fd)
            self._closed_child_pipe_fds = True


class Popen(_Forked):
    """A process of a Python program: a script of ours, or `sys.executable` with `-c` or `-m`.

    `terminal`: its stderr is a terminal that shall control it, in a session of its own. It heeds Ctrl-C even where the
    tests ignore it, as they do in a shell's background. `workers`: those that it starts are forks as well.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cold: bool = False,
        terminal: bool = False,
        workers: bool = False,
        start_new_session: bool = False,
        **options: Any,
    ) -> None:
        words = [os.fspath(word) for word in command]
        is_warm = not cold and options.keys() <= HEEDED and can_be_warm(words, env)
        self._address = _Interpreter.running().address if is_warm and _Interpreter.running().is_like_us() else None
        self._terminal, self._workers = terminal, workers
        if self._address is None:
            further = options.pop("preexec_fn", None)
            options["preexec_fn"] = functools.partial(_prepare, _take_terminal if terminal else _heed_ctrl_c, further)
        super().__init__(words, env=env, start_new_session=start_new_session or terminal, **options)


class _WorkersForked(_Forked):
    """`subprocess.Popen` in a command whose workers are forks: of the interpreter at `spare`, the command's child."""

    spare: str

    def __init__(self, args: Any, *further: Any, env: Any = None, **options: Any) -> None:
        is_worker = isinstance(args, list) and args[:3] == [sys.executable, "-P", "-m"] and args[3] in WORKERS
        env = dict(os.environ) if env is None else env
        is_warm = is_worker and not further and options.keys() <= HEEDED and can_be_warm(args, env)
        self._address = self.spare if is_warm else None
        super().__init__(args, *further, env=env, **options)


def _words_for_python(words: Sequence[str | Path]) -> list[str] | None:
    """A command line without the interpreter: our script, or `-c` or `-m`, and its arguments; None for any other."""
    program, *arguments = map(os.fspath, words)
    if program == sys.executable:
        arguments = arguments[arguments[:1] == ["-P"] :]
        return arguments if arguments[:1] in (["-c"], ["-m"]) else None
    is_ours = Path(program).parent == Path(sys.executable).parent and Path(program).name in ("llem", "payment-sim")
    return [program, *arguments] if is_ours else None


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_terminal() -> None:
    fcntl.ioctl(2, termios.TIOCSCTTY, 0)
    _heed_ctrl_c()


def _prepare(ours: Callable[[], None], further: Callable[[], None] | None) -> None:
    ours()
    if further is not None:
        further()


def _inherited() -> dict[str, Any]:
    """Return what a child has from the thread that starts it, in the form that `_inherit` takes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # to ask for the umask is to change it
    return {
        "umask": int(re.findall(r"^Umask:\s*([0-7]+)$", status, re.MULTILINE)[0], 8),
        "limits": [(number, resource.getrlimit(number)) for number in LIMITS],
        "processors": list(os.sched_getaffinity(0)),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "ignored": list(_ignored()),
    }


def _ignored() -> set[int]:
    return {each for each in signal.valid_signals() - PYTHONS_OWN if signal.getsignal(each) is signal.SIG_IGN}


def _inherit(given: Mapping[str, Any]) -> None:
    os.umask(given["umask"])
    os.sched_setaffinity(0, given["processors"])
    os.setpriority(os.PRIO_PROCESS, 0, given["nice"])
    for each in _ignored() ^ set(given["ignored"]):
        signal.signal(each, signal.SIG_IGN if each in given["ignored"] else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, given["blocked"])
    for number, limits in given["limits"]:
        if resource.getrlimit(number) != tuple(limits):
            resource.setrlimit(number, tuple(limits))


def _draw_anew() -> None:
    """Seed what was seeded while it was imported; `random` does so at each fork by itself."""
    sys.modules["numpy"].random.seed()
    sys.modules["torch"].default_generator.seed()


def without_interpreter(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of a test process's children or descendants that are not its warm interpreter."""
    running = _Interpreter._running
    return [each for each in processes if running is None or each.pid != running._process.pid]


class _Interpreter:
    """The warm interpreter of this process, started when it is first needed; it ends when this process does."""

    _running: "_Interpreter | None" = None

    @classmethod
    def running(cls) -> "_Interpreter":
        if cls._running is None or cls._running._owner != os.getpid() or cls._running._process.poll() is not None:
            cls._running = cls()
        return cls._running

    def is_like_us(self) -> bool:
        """Return True if its forks have from it what no fork can be given later, as this process has it."""
        pid = self._process.pid
        limits = all(resource.prlimit(pid, each) == resource.getrlimit(each) for each in OF_MEMORY)
        return limits and (os.getpgid(pid), os.getsid(pid)) == (os.getpgrp(), os.getsid(0))

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._home = tempfile.TemporaryDirectory(prefix="warm-")  # where libraries look for caches; there are none
        self.address = f"{self._home.name}/socket"
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
        room = {"ROOM": " " * MAX_SHOWN_BYTES}  # for the environment of forks, where /proc shows it
        with _listening(self.address) as listener:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno()), " " * MAX_SHOWN_BYTES],
                env={**kept, "HOME": self._home.name, **SETTINGS, **room},
                stdin=subprocess.PIPE,  # when this process has ended, it is closed
                pass_fds=[listener.fileno()],
            )


def _listening(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    return listener


_turn = threading.Lock()


def _fork(address: str, request: Mapping[str, Any], descriptors: Mapping[int, int]) -> int:
    """Have the interpreter there start a command with these descriptors of ours; its pid, of a child of this process.

    Raises:
        RuntimeError: it is not this process's child.
    """
    message = json.dumps({**request, "descriptors": list(descriptors)}).encode()
    with _turn, _adopting_orphans(), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(PATIENCE_S)
        channel.connect(address)
        socket.send_fds(channel, [message], list(descriptors.values()))
        answer = channel.recv(MAX_MESSAGE_BYTES)
    if not answer:
        raise RuntimeError(f"a fork of the warm interpreter has ended before {request['command']} began")
    pid = int(answer)
    if psutil.Process(pid).ppid() != os.getpid():
        raise RuntimeError(f"{pid}, a fork of the warm interpreter, is not the child of {os.getpid()}")
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


def _import_all() -> None:
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in IMPORTED:
            importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is for the tests
    gc.collect()
    gc.freeze()  # what is shared with forks stays shared


def _serve(listener: socket.socket) -> list[str]:
    """In a warm interpreter: fork at each request. In each fork: become what it asks for; the command to be run."""
    while True:
        if 0 in select.select([0, listener], [], [])[0]:
            os._exit(0)  # nobody is left who could ask
        channel, _ = listener.accept()
        message, descriptors, _, _ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
        if (between := os.fork()) == 0:
            between = os.getpid()
            if os.fork() == 0:
                break
            os._exit(0)
        os.waitpid(between, 0)
        for fd in [channel.detach(), *descriptors]:
            os.close(fd)
    while os.getppid() == between:
        time.sleep(0.0002)
    _heed_ctrl_c()
    request, address = json.loads(message), f"{listener.getsockname()}-{os.getpid()}"
    listener.detach()
    told = fcntl.fcntl(channel.detach(), fcntl.F_DUPFD, max(request["descriptors"]) + 1)
    _place(dict(zip(request["descriptors"], descriptors, strict=True)) | {told: told})
    command = _become_with_spare(request, address) if request["workers"] else _become(request)
    with socket.socket(fileno=told) as channel:
        channel.send(str(os.getpid()).encode())
    return command


def _become_with_spare(request: Mapping[str, Any], address: str) -> list[str]:
    """As `_become`, after a fork that stays a warm interpreter, for the workers of this one."""
    its_end, _ours = os.pipe()
    listener = _listening(address)
    if os.fork() == 0:
        _place({0: its_end, 3: listener.detach()})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _show("env", [])
        _run_to_the_end(_serve(socket.socket(fileno=3)))
    os.close(its_end)  # ours stays open as long as this process
    listener.close()
    _WorkersForked.spare = address
    subprocess.Popen = _WorkersForked
    return _become(request)


def _become(request: Mapping[str, Any]) -> list[str]:
    if request["new_session"]:
        os.setsid()
    if request["terminal"]:
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)
    threading.main_thread()._set_native_id()  # Python 3.11 leaves that of before the fork
    _draw_anew()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    _show("arg", request["command"])
    _show("env", [f"{name}={value}" for name, value in os.environ.items()])
    sys.stdin, sys.stdout, sys.stderr = _stream(0, "r"), _stream(1, "w"), _stream(2, "w")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.orig_argv = [sys.executable, *request["command"]]
    _inherit(request["inherited"])
    return list(request["command"])


def _place(descriptors: Mapping[int, int]) -> None:
    """Give each descriptor its number, and close every other."""
    above = max([*descriptors, *map(int, os.listdir("/proc/self/fd"))]) + 1
    aside = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, above) for number, fd in descriptors.items()}
    for number, fd in aside.items():
        os.dup2(fd, number)
    for fd in range(max(aside.values()) + 1):
        if fd not in descriptors:
            with contextlib.suppress(OSError):
                os.close(fd)


def _show(kind: str, words: Sequence[str]) -> None:
    """Have /proc show these as this process's arguments ("arg") or environment ("env"), as far as there is room."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    first = {"arg": 45, "env": 47}[kind]
    begin, end = map(int, fields[first : first + 2])
    shown = "".join(f"{word}\0" for word in words).encode()[: end - begin - 1]
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, shown, len(shown))


def _stream(number: int, mode: str) -> io.TextIOWrapper:
    """A standard stream as Python opens it in the locale C.UTF-8."""
    raw = io.FileIO(number, mode, closefd=False)
    errors = "backslashreplace" if number == 2 else "surrogateescape"
    buffered = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    stream = io.TextIOWrapper(buffered, "utf-8", errors, line_buffering=number == 2 or raw.isatty())
    stream.mode = mode
    raw.name = ("<stdin>", "<stdout>", "<stderr>")[number]
    return stream


def _run_to_the_end(command: Sequence[str]) -> NoReturn:
    """Run a command line and exit: as Python does, but that the memory of so many modules is not given back singly."""
    code = 0
    try:
        _run(command)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    except BaseException as error:
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        error.__traceback__ = _below_here(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        sys.exit(code)  # Python has its own words and code for it
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 0xFF)


def _below_here(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without its outermost frames, of this file and of `runpy`."""
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        trace = trace.tb_next
    return trace


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
    _import_all()
    _run_to_the_end(_serve(socket.socket(fileno=int(sys.argv[1]))))
