import contextlib
import os
import socket

import pytest

from labledger.files import write_durably
from labledger.regular_files import behind_link, open_regular, read_regular

FLAGS = {
    "to read": os.O_RDONLY,
    "to write": os.O_WRONLY | os.O_CREAT,
    "to write anew": os.O_RDWR | os.O_CREAT | os.O_TRUNC,
}


@pytest.fixture
def placed(tmp_path):
    """Places something of a kind, and returns its path and what a link may lead to."""
    kept = tmp_path / "kept.txt"
    kept.write_text("kept")

    def place(kind):
        path = tmp_path / "name"
        if kind == "a symbolic link":
            path.symlink_to(kept)
        elif kind == "a link to nothing":
            path.symlink_to(tmp_path / "made.txt")
        elif kind == "a named pipe":
            os.mkfifo(path)
        elif kind == "a socket":
            with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(tmp_path):
                server.bind("name")
        elif kind == "a directory":
            path.mkdir()
        else:
            path.symlink_to("/dev/zero") if kind == "a device" else path.write_text("kept")
        return path, kept

    return place


@pytest.mark.parametrize("kind", ["a symbolic link", "a link to nothing", "a named pipe", "a socket", "a directory"])
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_what_is_no_regular_file_is_neither_opened_nor_changed(placed, tmp_path, kind, flags):
    path, kept = placed(kind)
    with pytest.raises(OSError, match=f"is {kind.replace('link to nothing', 'symbolic link')}, not a reg") as raised:
        open_regular(path, flags)
    assert raised.value.filename == os.fspath(path)
    assert kept.read_text() == "kept"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kept.txt", "name"]


def test_a_regular_file_is_made_truncated_and_read(tmp_path):
    path = tmp_path / "name"
    for text in (b"longer", b"short"):
        with open(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(text)
    descriptor = open_regular(path, os.O_RDONLY)
    with open(descriptor, "rb") as file:
        assert file.read() == b"short"
        assert os.get_blocking(descriptor)
        assert not os.get_inheritable(descriptor)


def test_a_device_is_not_opened(tmp_path):
    with pytest.raises(OSError, match="is a device, not a regular file"):
        open_regular(os.path.realpath("/dev/zero"), os.O_RDWR)


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_regular(tmp_path / "nowhere", os.O_RDONLY)


def test_a_link_that_a_user_names_is_followed_and_one_that_leads_in_a_circle_is_an_os_error(tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    for name, target in (("far", "near"), ("near", "kept.txt"), ("circle", "round"), ("round", "circle")):
        (tmp_path / name).symlink_to(target)
    assert read_regular(behind_link(tmp_path / "far")) == b"kept"
    with pytest.raises(OSError, match="is a symbolic link, not a regular file"):
        read_regular(behind_link(tmp_path / "circle"))


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a directory", "a device"])
def test_what_a_user_names_is_read_through_links_and_only_where_it_is_a_regular_file(placed, tmp_path, kind):
    path, kept = placed(kind)
    for name, target in (("link", path), ("to kept", kept)):
        (tmp_path / name).symlink_to(target)
    for each in (path, tmp_path / "link"):
        with pytest.raises(OSError, match=f"is {kind}, not a regular file; name one"):
            read_regular(each, follow=True)
    assert read_regular(tmp_path / "to kept", follow=True) == b"kept"


def test_a_file_over_its_limit_is_not_read(tmp_path):
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 3_000_000_000)
    with pytest.raises(OSError, match=r"has 3.0 GB, and at most 2.0 MB are read"):
        read_regular(tmp_path / "large", 2_000_000)


@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("kind", ["a named pipe", "a socket"])
def test_a_file_is_not_written_in_the_place_of_a_pipe_or_a_socket(placed, tmp_path, kind, through_a_link):
    path, _ = placed(kind)
    before = os.lstat(path)
    named = tmp_path / "link" if through_a_link else path
    if through_a_link:
        named.symlink_to(path)
    with pytest.raises(OSError, match=f"is {kind}, not a regular file; name one"):
        write_durably(named, b"content")
    assert os.path.samestat(os.lstat(path), before)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted({"kept.txt", "name", named.name})


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="there is no /proc")
def test_a_file_of_the_kernel_which_only_says_that_it_is_regular_is_not_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.symlink_to("/proc/version")
    with pytest.raises(OSError, match="is in /proc, no regular file; name one"):
        read_regular(path, follow=True)
