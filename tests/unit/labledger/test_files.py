"""Durable files: what is promised, and what is left behind when the promise cannot be kept."""

import contextlib
import errno
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from disks import mounted

from labledger.files import claim_directory, claimed_directory, copy_durably, write_durably

CLAIM = """
import sys
from pathlib import Path
from labledger.files import claim_directory

sys.stdin.readline()
for _ in range(25):
    print(claim_directory(Path(sys.argv[1])))
"""

WRITE_UNTIL_KILLED = """
import itertools, sys
from pathlib import Path
from labledger.files import write_durably

for version in itertools.count():
    write_durably(Path(sys.argv[1]), f"{version:06}".encode() * 50_000)
    print(version, flush=True)
"""

WRITE_AS_NOBODY = """
import os, sys
from pathlib import Path
from labledger.files import write_durably

os.chdir(sys.argv[1])
if os.getuid() == 0:
    os.setuid(65534)
try:
    write_durably(Path("file"), b"new")
except OSError:
    print("refused")
"""


def run_python(program: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as folder:
        yield folder


@pytest.fixture
def disk_of_two_folders(tmp_path):
    with mounted(tmp_path / "disk", "nr_inodes=3") as folder:
        yield folder


@contextlib.contextmanager
def files_limited_to(size: int):
    """No file may grow over `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def umask(mask: int):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def system_calls(monkeypatch):
    """Record each sync (by inode) and rename, in order; the calls themselves go through."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor):
        calls.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def recording_replace(source, target, **directories):
        calls.append(("rename", Path(target).name))
        replace(source, target, **directories)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    return calls


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_file_holds_what_was_written(tmp_path):
    write_durably(tmp_path / "file", b"a\0b\r\n")
    assert (tmp_path / "file").read_bytes() == b"a\0b\r\n"


def test_writing_replaces_what_was_there(tmp_path):
    (tmp_path / "file").write_bytes(b"old and longer")
    write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_a_file_has_the_mode_that_the_umask_gives(tmp_path, mask, mode):
    with umask(mask):
        write_durably(tmp_path / "file", b"")
    assert mode_of(tmp_path / "file") == mode


def test_missing_parent_directories_are_made(tmp_path):
    write_durably(tmp_path / "a" / "b" / "file", b"content")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"


def test_a_path_relative_to_the_working_directory_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_durably(Path("file"), b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_full_disk_keeps_the_old_content_and_is_named(small_disk):
    path = small_disk / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left on device") as refused:
        write_durably(path, b"n" * 100_000)
    assert refused.value.errno == errno.ENOSPC
    assert refused.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names_in(small_disk) == ["file"]


def test_a_copy_that_a_full_disk_cuts_short_keeps_the_old_content(small_disk, tmp_path):
    (tmp_path / "source").write_bytes(b"n" * 100_000)
    path = small_disk / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left on device") as refused:
        copy_durably(tmp_path / "source", path)
    assert refused.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names_in(small_disk) == ["file"]


def test_a_write_that_fails_half_way_keeps_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with files_limited_to(4096), pytest.raises(OSError, match="File too large") as refused:
        write_durably(path, b"n" * 100_000)
    assert refused.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_a_read_only_disk_keeps_the_old_content_and_is_named(small_disk):
    path = small_disk / "file"
    path.write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only file system") as refused:
        write_durably(path, b"new")
    assert refused.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names_in(small_disk) == ["file"]


def test_a_file_where_the_parent_should_be_is_refused_and_unharmed(tmp_path):
    (tmp_path / "parent").write_bytes(b"a file")
    path = tmp_path / "parent" / "file"
    with pytest.raises(NotADirectoryError) as refused:
        write_durably(path, b"content")
    assert refused.value.filename == str(path)
    assert (tmp_path / "parent").read_bytes() == b"a file"


@pytest.mark.parametrize("write", [lambda path: write_durably(path, b""), claim_directory], ids=["file", "directory"])
def test_an_error_about_a_missing_parent_names_the_path_that_was_asked_for(tmp_path, write):
    (tmp_path / "parent").write_bytes(b"a file")
    path = tmp_path / "parent" / "missing" / "name"
    with pytest.raises(NotADirectoryError) as refused:
        write(path)
    assert refused.value.filename == str(path)


def test_a_directory_is_not_overwritten_by_a_file(tmp_path):
    (tmp_path / "name" / "inner").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as refused:
        write_durably(tmp_path / "name", b"")
    assert refused.value.filename == str(tmp_path / "name")
    assert names_in(tmp_path) == ["name"]


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "a link to it"])
@pytest.mark.parametrize("make", [lambda path: os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3)), os.mkfifo])
def test_a_device_or_a_named_pipe_is_not_replaced_by_a_file(tmp_path, make, linked):
    path = there = tmp_path / "output.csv"
    try:
        make(there)
    except PermissionError:
        pytest.skip("making a device takes the rights of root")
    if linked:
        path = tmp_path / "link.csv"
        path.symlink_to(there)
    for write in (lambda: write_durably(path, b"rows"), lambda: copy_durably(Path(__file__), path)):
        with pytest.raises(OSError, match=r"is a (device|named pipe), not a regular file; name one") as raised:
            write()
        assert raised.value.filename == os.fspath(path)
    assert not stat.S_ISREG(there.lstat().st_mode)
    assert path.is_symlink() == linked


def test_a_write_that_is_reported_as_failed_changed_nothing(tmp_path):
    """In a folder whose entries may be changed and not listed, the folder cannot be opened to be synced."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"old")
    (folder / "file").chmod(0o644)
    folder.chmod(0o333)
    answer, _ = run_python(WRITE_AS_NOBODY, folder).communicate(timeout=30)
    folder.chmod(0o755)
    assert (folder / "file").read_bytes() == (b"old" if "refused" in answer else b"new")


def test_an_interrupted_write_keeps_the_old_content(tmp_path, monkeypatch):
    def interrupted(source, target, **directories):
        raise KeyboardInterrupt

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_a_killed_writer_leaves_a_whole_file_no_older_than_what_it_acknowledged(tmp_path):
    path = tmp_path / "file"
    writer = run_python(WRITE_UNTIL_KILLED, path)
    for _ in range(5):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    acknowledged = 4 + len(writer.communicate()[0].splitlines())
    content = path.read_bytes()
    assert content == content[:6] * 50_000
    assert int(content[:6]) >= acknowledged


def test_the_bytes_are_synced_before_the_rename_and_the_directory_after(tmp_path, system_calls):
    path = tmp_path / "file"
    write_durably(path, b"content")
    assert system_calls == [("sync", path.stat().st_ino), ("rename", path.name), ("sync", tmp_path.stat().st_ino)]


def test_every_directory_that_had_to_be_made_is_synced_into_its_parent(tmp_path, system_calls):
    write_durably(tmp_path / "a" / "b" / "file", b"content")
    before_the_rename = system_calls[: system_calls.index(("rename", "file"))]
    assert ("sync", tmp_path.stat().st_ino) in before_the_rename
    assert ("sync", (tmp_path / "a").stat().st_ino) in before_the_rename


def test_a_claim_is_synced_into_its_parent(tmp_path, system_calls):
    claim_directory(tmp_path / "name")
    assert system_calls == [("sync", tmp_path.stat().st_ino)]


def test_a_copy_is_the_source_byte_for_byte_and_comes_with_its_digest(tmp_path):
    content = os.urandom(2_500_000)
    (tmp_path / "source").write_bytes(content)
    digest = copy_durably(tmp_path / "source", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()


def test_the_source_of_a_copy_stays(tmp_path):
    (tmp_path / "source").write_bytes(b"content")
    copy_durably(tmp_path / "source", tmp_path / "copy")
    assert (tmp_path / "source").read_bytes() == b"content"


def test_a_source_that_is_not_there_is_named_and_the_target_unharmed(tmp_path):
    (tmp_path / "copy").write_bytes(b"old")
    with pytest.raises(FileNotFoundError) as refused:
        copy_durably(tmp_path / "source", tmp_path / "copy")
    assert refused.value.filename == str(tmp_path / "source")
    assert (tmp_path / "copy").read_bytes() == b"old"
    assert names_in(tmp_path) == ["copy"]


def test_processes_that_claim_the_same_name_at_once_each_get_directories_of_their_own(tmp_path):
    claimants = [run_python(CLAIM, tmp_path / "name") for _ in range(4)]
    for each in claimants:
        each.stdin.write("go\n")
        each.stdin.flush()
    claimed = [line for each in claimants for line in each.communicate(timeout=60)[0].splitlines()]
    assert len(claimed) == 100
    assert {Path(each).name for each in claimed} == {"name", *(f"name_{n}" for n in range(1, 100))}
    assert len(names_in(tmp_path)) == 100


def test_a_claim_passes_over_files_and_folders_that_are_there(tmp_path):
    (tmp_path / "name").write_bytes(b"a file")
    (tmp_path / "name_1").mkdir()
    (tmp_path / "name_2").symlink_to("nowhere")
    assert claim_directory(tmp_path / "name") == tmp_path / "name_3"
    assert (tmp_path / "name").read_bytes() == b"a file"


def test_a_claim_makes_the_parents_that_are_missing(tmp_path):
    assert claim_directory(tmp_path / "a" / "b" / "name").is_dir()


def test_a_claim_that_fails_leaves_no_parent_that_it_made(disk_of_two_folders):
    path = disk_of_two_folders / "a" / "b" / "name"
    with pytest.raises(OSError, match="No space left on device") as refused:
        claim_directory(path)
    assert refused.value.filename == str(path)
    assert names_in(disk_of_two_folders) == []


def test_a_claim_on_a_read_only_disk_is_refused_by_name(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only file system") as refused:
        claim_directory(small_disk / "name")
    assert refused.value.filename == str(small_disk / "name")


def test_a_claimed_directory_stays_with_what_was_put_in(tmp_path):
    with claimed_directory(tmp_path / "name") as folder:
        (folder / "file").write_bytes(b"content")
    assert (tmp_path / "name" / "file").read_bytes() == b"content"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_interrupts_the_filling_of_a_claimed_directory_removes_it(tmp_path, interruption):
    (tmp_path / "name").mkdir()
    with pytest.raises(interruption), claimed_directory(tmp_path / "name") as folder:  # noqa: PT012 - it is to fail half-way
        (folder / "file").write_bytes(b"content")
        raise interruption
    assert names_in(tmp_path) == ["name"]
