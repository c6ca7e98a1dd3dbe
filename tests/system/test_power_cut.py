"""A disk whose power is cut: an ext4 of its own is shut down without a flush of its log, and mounted anew.

What the kernel had not yet sent to the disk is lost then, as it is when a machine loses its power.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from saving import make_sidecar, moments_of, savers_of, with_folder_and_sidecar

from llenergymeasure.results.catalog import result_files
from llenergymeasure.results.persistence import load_result
from llenergymeasure.results.recovery import find_leftovers, remove
from llenergymeasure.results.verification import verify

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)
DISK_BYTES = 24 << 20


class Disk:
    """An ext4 in a file, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image

    def mount(self) -> None:
        done = subprocess.run(["mount", "-o", "loop", self._image, self.folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted from a file here: {done.stderr.strip()}")

    def unmount(self, *options: str) -> None:
        """Its loop device is freed with it."""
        if os.path.ismount(self.folder):
            subprocess.run(["umount", *options, self.folder], check=True)

    def cut_power(self) -> None:
        """Nothing that is not on the disk by now gets there."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(descriptor)

    def mount_anew(self) -> None:
        self.unmount()
        self.mount()


@pytest.fixture
def disk(tmp_path):
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("needs the right to mount a disk")
    if shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists():
        pytest.skip("needs mkfs.ext4 and loop devices")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    made = Disk(image, folder)
    try:
        made.mount()
        yield made
    finally:
        made.unmount("--lazy")  # someone else may be looking into it


def test_what_was_never_synced_is_lost_so_the_tests_below_can_fail(disk):
    (disk.folder / "file").write_bytes(b"content")
    disk.cut_power()
    disk.mount_anew()
    assert not (disk.folder / "file").exists()


@pytest.mark.parametrize("cuts", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_what_was_acknowledged_before_a_power_cut_is_whole_and_nothing_else_is_left_after_recovery(
    disk, tmp_path, cuts
):
    moments, leftovers = moments_of(cuts), 0
    with savers_of(make_sidecar(tmp_path)) as savers:
        for number in range(cuts):
            folder = disk.folder / f"user_{number}" / "results"
            savers.start(folder, processes=3)
            savers.wait_for(moments.randrange(1, 20))
            disk.cut_power()
            savers.end()
            disk.mount_anew()
            complete = set(result_files(folder))
            assert savers.saved.items() <= {path: load_result(path).experiment_id for path in complete}.items()
            assert {verify(path).status for path in complete} == {"ok"}
            found = find_leftovers(folder)
            for each in found:
                remove(each)
            assert set(folder.rglob("*")) == with_folder_and_sidecar(complete)
            leftovers += len(found)
            shutil.rmtree(folder.parent)
    assert leftovers > 0  # or every cut came between two saves
