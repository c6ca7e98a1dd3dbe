"""A run's process that is odd, in place of `llenergymeasure.cli.separate_run`: `ODD` in its environment says how.

`deaf`: it ignores the signals that end it, and never ends; `orphan`: so, and it leaves a process in a session of its
own that holds its pipes and is deaf too; `crash`: it ends as a library that aborts does, after its words; `loud`: it
writes far more than a pipe takes, and then reports; `garbage`: it reports what is none; `interrupting`: it sends its
parent SIGINT, and ends on its own with an error.
"""

import json
import os
import signal
import subprocess
import sys
import time

WORDS = "terminate called after throwing an instance of 'std::bad_alloc'"


def be_deaf() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    how, report = os.environ["ODD"], int(sys.argv[sys.argv.index("--") + 1])
    sys.stdin.buffer.readline()
    if how in ("deaf", "orphan"):
        be_deaf()
    if how == "orphan":
        code = "import time; print('ready', flush=True); time.sleep(600)"
        stray = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, pass_fds=[report], start_new_session=True
        )
        stray.stdout.readline()
    if how == "crash":
        sys.stderr.write(f"once \x1b[31mred\x1b[0m\n{WORDS}\nkey={os.environ['MY_API_KEY']}\n")
        sys.stderr.flush()
        os.abort()
    if how == "loud":
        sys.stderr.write("a line of words\n" * 100_000)
    told = {"loud": {"saved": "x/result.json"}, "garbage": {"more": 1}}.get(how)
    if told is not None:
        os.write(report, json.dumps(told).encode() + b"\n")
        return
    try:
        if how == "interrupting":
            os.kill(os.getppid(), signal.SIGINT)
        while True:
            time.sleep(600)
    except KeyboardInterrupt:
        error = "interrupted\n3 finished requests are kept in x"
        os.write(report, json.dumps({"error": error}).encode() + b"\n")


if __name__ == "__main__":
    main()
