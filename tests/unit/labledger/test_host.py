"""The facts of this machine: some can be checked here, and what cannot be seen is None."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from labledger.host import git_commit, installed_packages, read_gpus, read_host

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("content")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_the_hosts_facts_are_those_of_this_machine():
    host = read_host()
    assert host.python_version == platform.python_version()
    assert platform.system() in host.os or host.os.startswith("macOS")
    assert host.cpu_model
    assert host.cpu_logical_cores == os.cpu_count()
    assert host.cpu_physical_cores is None or 1 <= host.cpu_physical_cores <= host.cpu_logical_cores
    assert 100 < host.ram_mb < 1e9


def test_the_installed_packages_have_their_versions():
    assert installed_packages()["pytest"] == pytest.__version__
    assert list(installed_packages()) == sorted(installed_packages())


@needs_git
def test_a_clean_checkout_is_its_commit(repository):
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD")


@needs_git
def test_a_folder_inside_a_checkout_is_at_its_commit(repository):
    assert git_commit(repository / "inner") == git(repository, "rev-parse", "HEAD")


@needs_git
def test_a_changed_file_makes_a_checkout_dirty(repository):
    (repository / "inner" / "file").write_text("changed")
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD") + "-dirty"


@needs_git
def test_a_file_that_git_does_not_track_leaves_a_checkout_clean(repository):
    (repository / "results.json").write_text("{}")
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD")


@needs_git
def test_a_folder_that_git_does_not_track_has_no_commit(repository):
    (repository / "untracked").mkdir()
    assert git_commit(repository / "untracked") is None


@needs_git
def test_a_repository_without_a_commit_has_none(tmp_path):
    git(tmp_path, "init", "--quiet")
    assert git_commit(tmp_path) is None


def test_a_folder_outside_any_checkout_has_no_commit(tmp_path):
    assert git_commit(tmp_path) is None


def test_a_folder_that_is_not_there_has_no_commit(tmp_path):
    assert git_commit(tmp_path / "missing") is None


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(Path(__file__).parent) is None


def test_a_machine_without_a_gpu_says_why_none_is_seen():
    gpus = read_gpus()
    if gpus.devices:
        pytest.skip("there is a GPU here")
    assert gpus.unavailable.startswith("NVML: ")


def test_a_gpu_has_its_name_and_memory():
    gpus = read_gpus()
    if not gpus.devices:
        pytest.skip("there is no GPU here")
    assert [gpu.index for gpu in gpus.devices] == list(range(len(gpus.devices)))
    assert all(gpu.name and gpu.vram_mb > 100 for gpu in gpus.devices)
    assert gpus.unavailable is None
