"""Processes of one run: stand-ins for a process among its peers, and real ones with torchrun's variables."""

import os
import select
import subprocess
import sys

from llenergymeasure.run.peers import Group

SECOND_OF_THREE = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "3",
    "LOCAL_WORLD_SIZE": "3",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
WINDOWS_S = [(101.0, 103.0), (100.0, 104.0), (102.0, 106.0), (99.0, 105.0)]
"""The window of each of up to four processes."""


class Peer(Group):
    """Process `index` of `size`: the windows of all are known, and `asked` is for whom it has waited."""

    def __init__(self, index, size, on_same_gpu, agree=True, gpu=None):
        self.index, self.size, self.on_same_gpu, self.gpu = index, size, on_same_gpu, gpu
        self.asked, self.agreed_to, self._agree = [], [], agree

    def wait(self):
        pass

    def whole_span(self, start_s, end_s, of):
        self.asked.append(set(of))
        spans = [(start_s, end_s), *(WINDOWS_S[index] for index in of)]
        return min(first for first, _ in spans), max(last for _, last in spans)

    def all_agree(self, mine):
        self.agreed_to.append(mine)
        return mine and self._agree


def started(program, *arguments, **environment):
    """A Python program with pipes for its stdin and stdout."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def line_of(process, patience_s=60.0):
    """The next line that it prints; None if none comes in time."""
    return process.stdout.readline() if select.select([process.stdout], [], [], patience_s)[0] else None
