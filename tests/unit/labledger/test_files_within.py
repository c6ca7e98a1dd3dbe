"""A directory that a user named may be a link; what somebody else put into it is not followed."""

import os

import pytest

from hostile_places import NO_FILES, Outside, names_below, place
from labledger.files import copy_durably, joined_directory, opened_directory, unheld, write_durably

USES = {
    "write": lambda path, root: write_durably(path, b"ours", within=root),
    "copy": lambda path, root: copy_durably(root / "source", path, within=root),
    "join": lambda path, root: joined_directory(path, within=root).__enter__(),
    "look": lambda path, root: unheld(path.parent, within=root).__enter__(),
}


@pytest.fixture
def outside(tmp_path):
    return Outside(tmp_path / "home")


@pytest.fixture
def root(tmp_path):
    """A directory as a user names it: by a link."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "source").write_bytes(b"ours")
    (tmp_path / "results").symlink_to("disk")
    return tmp_path / "results"


@pytest.mark.parametrize("name", ["state", "state/run"])
@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "link to nothing", "link to itself"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_link_among_the_directories_is_named_and_nothing_is_made_behind_it(root, outside, use, kind, name):
    place(kind, root / name, outside)
    before = names_below(root)
    with pytest.raises(OSError, match="is a symbolic link, which is not followed") as refused:
        use(root / "state" / "run" / "file", root)
    assert str(root / name) in str(refused.value)
    assert names_below(root) == before
    assert outside.is_unharmed()


def test_a_link_that_the_user_named_is_followed(root):
    path = root / "state" / "run" / "file"
    write_durably(path, b"ours", within=root)
    copy_durably(root / "source", path.with_name("copy"), within=root)
    with joined_directory(path.parent, within=root):
        assert sorted(os.listdir(path.parent)) == ["copy", "file"]
    with unheld(path.parent, within=root) as is_free:
        assert is_free


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "folder"] + ["hard link"])
def test_what_stands_in_a_files_place_is_replaced_and_not_written_through(root, outside, kind):
    path = place(kind, root / "state" / "file", outside)
    write_durably(path, b"ours", within=root)
    assert not path.is_symlink()
    assert path.read_bytes() == b"ours"
    assert outside.is_unharmed()


def test_a_directory_that_is_replaced_by_a_link_meanwhile_is_not_left_for_it(root, outside, monkeypatch):
    state, fsync = root / "state", os.fsync
    state.mkdir()

    def replacing(descriptor):
        if not state.is_symlink():
            state.rename(root / "moved")
            state.symlink_to(outside.folder)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", replacing)
    write_durably(state / "file", b"ours", within=root)
    assert (root / "moved" / "file").read_bytes() == b"ours"
    assert outside.is_unharmed()


def test_a_directory_is_opened_where_the_user_named_no_other_around_it(root, outside):
    (root / "linked").symlink_to(outside.folder)
    with opened_directory(root / "linked") as descriptor:
        assert "run" in os.listdir(descriptor)
