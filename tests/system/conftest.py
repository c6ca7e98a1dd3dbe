"""Shared by the system tests: a user with a home of their own who runs `llem`, and small things to run it on."""

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from ruamel.yaml import YAML
from terminals import read_terminal

import warm

LLEM = Path(sys.executable).with_name("llem")
PATIENCE_S = 300

RANDOM_MODEL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 512,
}

EXPERIMENT: dict[str, Any] = {
    "model": "random:llama",
    "random_model": RANDOM_MODEL,
    "device": "cpu",
    "precision": "fp32",
    "num_prompts": 4,
    "max_input_tokens": 16,
    "max_output_tokens": 4,
    "decoder": {"ignore_eos": True},
    "warmup": {"iterations": 0},
}


HIDES = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {hidden!r}

class Hides(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, context):
        return [] if context.name in HIDDEN else super().find_distributions(context)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hides
"""


@dataclass(frozen=True)
class Ended:
    """The exit code and the output of a command that has ended."""

    code: int
    stdout: str
    stderr: str


class Watched:
    """A running command whose stderr is a terminal: what it shows there is read as it comes."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int, stdout: IO[bytes]) -> None:
        self.process = process
        self.shown = ""
        self._terminal = terminal
        self._stdout = stdout

    def wait_for(self, words: str) -> None:
        """Return when `words` have been shown."""
        while words not in self.shown:
            if not self._read():
                raise EOFError(f"it ended and never showed {words!r}, but:\n{self.shown}")

    def end(self, number: signal.Signals | None = None) -> Ended:
        """Send it a signal, if one is given, and read it to its end."""
        if number is not None:
            self.process.send_signal(number)
        while self._read():
            pass
        code = self.process.wait(PATIENCE_S)
        self._stdout.seek(0)
        return Ended(code, self._stdout.read().decode(), self.shown)

    def _read(self) -> bool:
        found = read_terminal(self._terminal, PATIENCE_S, self.shown)
        self.shown += found
        return bool(found)


class User:
    """Somebody with a home of their own and a folder to work in."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "work"
        self.config_file = home / "config" / "llenergymeasure" / "config.yaml"
        self.unsaved = home / "state" / "llenergymeasure" / "unsaved"
        self._home = home
        self.folder.mkdir(parents=True)
        self.config_file.parent.mkdir(parents=True)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of this user's commands: nothing of the machine's own user but where programs are."""
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
        path = {"PATH": f"{LLEM.parent}{os.pathsep}{os.environ['PATH']}"}
        places = {f"XDG_{kind.upper()}_HOME": str(self._home / kind) for kind in ("config", "state", "cache", "data")}
        return {**kept, **path, "HOME": str(self._home), **places, **warm.SETTINGS, "COLUMNS": "160", **more}

    def start(
        self, *arguments: str | Path, cold: bool = False, workers: bool = False, **environment: str
    ) -> "subprocess.Popen[str]":
        """`llem` with these arguments, running; warm.py describes `cold` and `workers`."""
        return self._start([LLEM, *arguments], environment, cold=cold, workers=workers)

    def llem(self, *arguments: str | Path, cold: bool = False, workers: bool = False, **environment: str) -> Ended:
        """`llem` with these arguments, run to its end."""
        return self.run(LLEM, *arguments, cold=cold, workers=workers, **environment)

    def run(self, *command: str | Path, cold: bool = False, workers: bool = False, **environment: str) -> Ended:
        """A program of Python's, run to its end: a script of ours, or `sys.executable` with `-c` or `-m`."""
        with self._start(command, environment, cold=cold, workers=workers) as process:
            try:
                stdout, stderr = process.communicate(timeout=PATIENCE_S)
            except BaseException:
                process.kill()
                raise
        return Ended(process.returncode, stdout, stderr)

    def _start(
        self, command: Sequence[str | Path], environment: dict[str, str], **how: bool
    ) -> "subprocess.Popen[str]":
        return warm.Popen(
            command,
            **how,
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def shell(self, line: str) -> Ended:
        """A line of shell, where `llem` is found by its name."""
        ended = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    @contextlib.contextmanager
    def watch(self, *arguments: str | Path, workers: bool = False, **environment: str) -> Iterator[Watched]:
        """`llem` with these arguments, its stderr on a terminal."""
        terminal, its_side = pty.openpty()
        with tempfile.TemporaryFile() as stdout:
            process = warm.Popen(
                [LLEM, *arguments],
                workers=workers,
                cwd=self.folder,
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=its_side,
            )
            os.close(its_side)
            try:
                yield Watched(process, terminal, stdout)
            finally:
                process.kill()
                process.wait()
                os.close(terminal)

    def write(self, name: str, text: str) -> Path:
        """A file in the user's folder; its path from there."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return Path(name)

    def experiment(self, name: str = "experiment.yaml", **changes: Any) -> Path:
        """A small experiment's YAML in the user's folder, `changes` over its fields (None: leave it out); its path."""
        fields = {name: value for name, value in {**EXPERIMENT, **changes}.items() if value is not None}
        with (self.folder / name).open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(fields, file)
        return Path(name)

    def results(self) -> list[str]:
        """Everything in the folder where results go if nothing else is said, hidden files too."""
        folder = self.folder / "results"
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))

    def made(self) -> list[str]:
        """The names of what is in the user's folder and is no YAML, dataset or model that a test put there."""
        return sorted(path.name for path in self.folder.iterdir() if path.suffix not in (".yaml", ".jsonl", ".model"))


@pytest.fixture(scope="session")
def compiled() -> dict[str, str]:
    """The environment in which the settlement engine is compiled already, as it is after its first use."""
    return {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))}


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(scope="session")
def new_user(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], User]:
    """Makes a user whose finished runs several tests look at."""
    return lambda: User(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama as a model's folder: config.json, model.safetensors, tokenizer."""
    import torch

    from llenergymeasure.backends.pytorch.random_llama import build_model, build_tokenizer
    from llenergymeasure.config.models import RandomModelConfig
    from llenergymeasure.workload.prompts import builtin_text

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    shape = RandomModelConfig(**RANDOM_MODEL)
    tokenizer = build_tokenizer(builtin_text(), shape.vocab_size)
    model = build_model(shape, tokenizer, seed=0, device="cpu", dtype=torch.float32, attention="sdpa")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def hiding(tmp_path: Path) -> Callable[..., str]:
    """Return a PYTHONPATH with which a command, and its children, do not find these packages."""

    def hiding(*packages: str) -> str:
        folder = tmp_path / "hides"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(HIDES.format(hidden=packages), encoding="utf-8")
        return str(folder)

    return hiding


@pytest.fixture
def model_copy(user: User, model_folder: Path) -> Path:
    """A copy of `model_folder` in the user's folder, for a test to spoil; its path from there."""
    shutil.copytree(model_folder, user.folder / "tiny.model")
    return Path("tiny.model")


@pytest.fixture
def dataset(user: User) -> Path:
    """Five prompts in the user's folder; the path from there."""
    lines = [json.dumps({"prompt": f"Say the number {number} in words, and then again."}) for number in range(5)]
    return user.write("prompts.jsonl", "\n".join(lines) + "\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with _mounted(disk, "size=2m"):
        yield disk


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody can write to; for root, who can write to any folder, on a disk that is read-only."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    with _mounted(folder, "size=2m,ro"):
        yield folder


@contextlib.contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("needs the right to mount a disk")
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mount.returncode != 0:
        pytest.skip(f"needs the right to mount a disk: {mount.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
