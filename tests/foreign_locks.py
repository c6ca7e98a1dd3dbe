"""Locks that another program holds, and the notices of who waits for them."""

import contextlib
import fcntl
import logging
import os

from labledger.notices import NOTICES


@contextlib.contextmanager
def locked(path):
    """A file or folder that is locked, as by a program of somebody else's."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def noted():
    """The notices meanwhile, a list of texts."""
    texts = []

    class Kept(logging.Handler):
        def emit(self, record):
            texts.append(record.getMessage())

    handler = Kept()
    NOTICES.addHandler(handler)
    try:
        yield texts
    finally:
        NOTICES.removeHandler(handler)
