"""Small servers to launch: scripts whose processes write down their numbers, so that a test can look for each."""

import contextlib
import os
import socket
import sys
import textwrap
import time

import psutil

DEADLINE_S = 60.0
MARK_VARIABLE = "LLEM_TEST_SERVER"

PRELUDE = """
import http.server, os, signal, socket, sys, time

def note_pid():
    with open(os.path.join(os.path.dirname(__file__), "pids"), "a") as file:
        file.write(f"{os.getpid()}\\n")

def fork(work):
    pid = os.fork()
    if pid == 0:
        note_pid()
        work()
        os._exit(0)
    return pid

def rest():
    while True:
        time.sleep(60)

def detach():
    "A grandchild with a session of its own, whose parent is gone."
    os.waitpid(fork(lambda: fork(lambda: (os.setsid(), rest()))), 0)

def burn(cpu_s):
    until_s = time.process_time() + cpu_s
    while time.process_time() < until_s:
        pass

def serve(*statuses):
    "Answer with these, the last again and again."
    left = list(statuses)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.end_headers()
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

note_pid()
"""


class LaunchSite:
    """A folder with a server's script and log, a free port, and all processes that come from here."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "results" / ".logs" / "server.log"
        self.token = f"{os.getpid()}-{time.monotonic_ns()}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def command(self, body):
        """Return the command of a server that runs this body."""
        script = self.folder / "server.py"
        script.write_text(PRELUDE + textwrap.dedent(body))
        return [sys.executable, "-S", str(script), str(self.port)]

    def family(self, count):
        """Return the server's processes, once there are `count`."""
        noted = self.folder / "pids"
        wait_until(lambda: noted.exists() and noted.read_text().count("\n") >= count)
        found = []
        for pid in map(int, noted.read_text().split()):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def left(self):
        """Return the processes that still run of all that were started from here, the supervisor included."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get(MARK_VARIABLE) == self.token:
                    found.append(process)
        return running(found)

    def port_is_free(self):
        """Return True if another server could have the port now."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return False
            return True


def running(processes):
    """Return those that still run; a number that another process has got since is not one of them."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until(is_so):
    """Return when it is so."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not so within {DEADLINE_S:g} s")
        time.sleep(0.01)
