"""`data_parallel`, as a user runs it: several processes and one result; and what is left when one of them is killed."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

import warm
from labledger.schema_versions import parse_record
from llenergymeasure import ExperimentResult
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.figures import Timestamps
from llenergymeasure.results.aggregation import expect_processes
from llenergymeasure.results.merging import save_part
from small_result import make_raw_result, make_result

LLEM = Path(sys.executable).with_name("llem")
TORCHRUN = (LLEM.with_name("torchrun"), "--standalone", "--nproc-per-node", "2", LLEM)
PATIENCE_S = 60.0
SOON_S = 6.0

TWO = {"pytorch": {"data_parallel": 2}}
SAMPLED = {"num_prompts": 7, "batch_size": 2, "max_output_tokens": 60, "decoder": {"do_sample": True}}
SHARES = ([0, 1, 4, 5], [2, 3, 6])  # of seven prompts in batches of two, every second batch
TINY = {"num_prompts": 4, "batch_size": 2, **TWO}
SYNTHETIC = {
    "dataset": {"synthetic": {"input_len": 16, "output_len": 200}},
    "max_input_tokens": None,
    "max_output_tokens": None,
    "decoder": None,
    "batch_size": 2,
    **TWO,
}
SECONDS = {**SYNTHETIC, "num_prompts": 40}
MINUTES = {**SYNTHETIC, "num_prompts": 1000}

RUN_IN_PYTHON = """
import json, sys
from llenergymeasure import run_experiment
result = run_experiment(sys.argv[1], output_dir=None)
print(json.dumps([len(result.process_results), result.output_tokens]))
"""

A_LIBRARY_THAT_PRINTS = """
import os, sys

class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "transformers" and "RANK" in os.environ:
            os.write(1, b"a line that a library prints\\n")

sys.meta_path.insert(0, Finder)
"""


class Ended(NamedTuple):
    """What a command has left on its streams."""

    code: int
    stdout: str
    stderr: str


class Running:
    """A command at a terminal of its own, where its stderr is shown; and the processes of the run that it has started.

    `members` are the processes of the run by their number, those that have ended too, and `started` all there were.
    """

    def __init__(self, process, terminal, stdout, temporary):
        self.process = process
        self.temporary = temporary
        self.shown = ""
        self.members = {}
        self.started = set()
        self._terminal = terminal
        self._stdout = stdout

    def wait_for(self, pattern):
        """Return when it has been shown."""
        end_s = time.monotonic() + PATIENCE_S
        while re.search(pattern, self.shown) is None:
            if not self._read(end_s):
                raise EOFError(f"it ended and never showed {pattern!r}, but:\n{self.shown}")

    def wait_for_members(self, count=2):
        """Return when so many processes of the run are there."""
        until(lambda: self._look() >= count, f"{count} processes have started")
        return self.members

    def wait_for_requests(self, count):
        """Return when so many requests have finished."""
        self.wait_for_members()
        pattern, end_s = r"measuring: (\d+)/", time.monotonic() + PATIENCE_S
        self.wait_for(pattern)
        while int(re.findall(pattern, self.shown)[-1]) < count:
            assert self._read(end_s), f"it ended before so many had:\n{self.shown}"

    def wait_for_requests_of_each(self, user):
        """Return when twenty requests have finished, and some of each process: they are in its journal."""
        self.wait_for_requests(20)
        until(lambda: all(finished_so_far(user, index) for index in self.members), "each process has finished some")

    def press_ctrl_c(self):
        """As a person at the terminal does."""
        os.write(self._terminal, b"\x03")

    def end(self, patience_s=PATIENCE_S):
        """Read it to its end."""
        end_s = time.monotonic() + patience_s
        while self._read(end_s):
            pass
        code = self.process.wait(patience_s)
        self._stdout.seek(0)
        return Ended(code, self._stdout.read().decode(), self.shown.replace("\r\n", "\n"))

    def wait_until_nobody_is_left(self):
        """Return when every process that was seen has ended."""
        until(lambda: not any(map(lives, self.started)), "every process has ended")

    def kill_all(self):
        """End what a failed test has left."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._look()
        self.process.kill()
        self.process.wait()
        for process in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _look(self):
        command = psutil.Process(self.process.pid)
        self.started.update(command.children(recursive=True))
        for child in command.children():
            with contextlib.suppress(psutil.Error, KeyError):  # it has ended, or has not begun
                self.members[int(child.environ()["RANK"])] = child
        return len(self.members)

    def _read(self, end_s):
        if not select.select([self._terminal], [], [], max(end_s - time.monotonic(), 0))[0]:
            raise TimeoutError(f"nothing new for too long after:\n{self.shown}")
        try:
            chunk = os.read(self._terminal, 1 << 16)
        except OSError:  # how Linux says that the other side has closed
            return False
        self.shown += chunk.decode(errors="replace")
        return bool(chunk)


@contextlib.contextmanager
def running(user, *command, workers=True, **environment):
    """A command of the user's, at a terminal; nothing of it outlives the block. Its workers start warm, or not."""
    terminal, its_side = pty.openpty()
    temporary = user.folder.with_name("tmp")
    temporary.mkdir(exist_ok=True)

    with tempfile.TemporaryFile() as stdout:
        process = warm.Popen(
            command,
            cwd=user.folder,
            env=user.environment(TMPDIR=str(temporary), **environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=its_side,
            terminal=True,
            workers=workers,
        )
        os.close(its_side)
        command = Running(process, terminal, stdout, temporary)
        try:
            yield command
        finally:
            command.kill_all()
            os.close(terminal)


def until(condition, what):
    """Return when `condition` holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.02)


def lives(process):
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def has_come(command, index):
    """Whether a process has come to the meeting that all have before they measure."""
    return any(command.temporary.glob(f"llem-*/0_{index}"))


def load(path):
    """One process's raw result."""
    return parse_record(RawProcessResult, path.read_bytes(), str(path))[0]


def kept(user):
    """What the processes of the one unfinished run in the user's results have kept, by their number."""
    raws = [load(path) for path in user.folder.glob("results/.state/*/process_[0-9].json")]
    return {raw.process_index: raw for raw in raws}


def finished_so_far(user, index):
    """Return True if a process has written requests into its journal."""
    return any(
        b'"requests":' in path.read_bytes() for path in user.folder.glob(f"results/.state/*/process_{index}.jsonl")
    )


def journalled(user, index):
    """How many requests `llem results recover` has found in the journal of a killed process, and of how many such."""
    raws = [load(path) for path in user.folder.glob(f"results/.state/*/process_{index}.recovered.json")]
    for raw in raws:
        assert raw.is_partial
        assert set(raw.requests.output_tokens) == {200}
    return sum(len(raw.requests.output_tokens) for raw in raws), len(raws)


# A run that ends well.


@pytest.fixture(scope="module")
def two_user(new_user):
    return new_user()


@pytest.fixture(scope="module")
def at_once(two_user, new_user):
    """Runs that go on at the same time: two alike into one directory, and one of a single process elsewhere."""
    yaml, one_user = two_user.experiment(**SAMPLED, **TWO), new_user()
    runs = [
        two_user.start("run", yaml, "--json", cold=True),
        two_user.start("run", yaml, "--quiet", workers=True),
        one_user.start("run", one_user.experiment(**SAMPLED), "--json"),
    ]
    try:
        streams = [process.communicate(timeout=PATIENCE_S) for process in runs]
        return [Ended(process.returncode, *each) for process, each in zip(runs, streams, strict=True)]
    finally:
        for process in runs:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def json_run(at_once):
    return at_once[0]


@pytest.fixture(scope="module")
def result(two_user, json_run):
    """What the run that printed JSON has saved."""
    name = json.loads(json_run.stdout)["experiment_id"]
    paths = two_user.folder.glob("results/*/result.json")
    (found,) = [each for each in map(ExperimentResult.from_json, paths) if each.experiment_id == name]
    return found


@pytest.fixture(scope="module")
def quiet_run(at_once):
    return at_once[1]


@pytest.fixture(scope="module")
def alone(at_once):
    """The result of one process that does all of the work."""
    return json.loads(at_once[2].stdout)


def test_json_on_stdout_is_the_saved_result(json_run, result):
    assert json_run.code == 0
    assert json.loads(json_run.stdout) == json.loads(result.to_json())


def test_progress_goes_to_stderr_a_line_a_phase(json_run):
    phases = [line.rpartition(": ")[0] for line in json_run.stderr.splitlines()]
    names = ["checking", "starting 2 processes", "loading random:llama", "warming up", "measuring", "summing up"]
    assert phases == names


def test_nothing_but_the_results_is_left(two_user, at_once):
    paths = sorted(path.relative_to(two_user.folder / "results") for path in two_user.folder.glob("results/*/*"))
    assert [path.name for path in paths] == ["result.json"] * 2
    assert two_user.results() == sorted({str(each) for path in paths for each in (path, path.parent)})
    assert two_user.made() == ["results"]
    assert not two_user.unsaved.exists()


def test_both_processes_are_in_the_result_and_its_figures_are_their_sums(result):
    first, second = result.process_results
    assert (first.process_index, second.process_index) == (0, 1)
    assert {first.experiment_id, second.experiment_id} == {result.experiment_id}
    assert result.aggregation.num_processes == 2
    assert result.input_tokens == sum(each.inference_metrics.input_tokens for each in (first, second)) == 7 * 16
    assert result.output_tokens == sum(each.inference_metrics.output_tokens for each in (first, second))
    assert result.total_tokens == result.input_tokens + result.output_tokens
    assert result.total_energy_j == sum(each.energy_metrics.total_energy_j for each in (first, second)) > 0
    assert result.effective_config["pytorch"]["data_parallel"] == 2


def test_a_request_has_the_tokens_that_it_has_in_a_run_of_one_process(result, alone):
    (whole,) = alone["process_results"]
    tokens = whole["requests"]["output_tokens"]
    assert len(set(tokens)) > 1  # or it shows nothing: some end early
    for process, share in zip(result.process_results, SHARES, strict=True):
        assert process.requests.output_tokens == [tokens[index] for index in share]
        assert process.requests.finish_reason == [whole["requests"]["finish_reason"][index] for index in share]
    names = ("input_tokens", "output_tokens", "total_tokens", "total_flops")
    assert {name: getattr(result, name) for name in names} == {name: alone[name] for name in names}


def test_a_quiet_run_prints_just_the_path_of_the_result(two_user, quiet_run, result):
    assert (quiet_run.code, quiet_run.stderr) == (0, "")
    path = Path(quiet_run.stdout.removesuffix("\n"))
    assert path.match("results/*/result.json")
    saved = ExperimentResult.from_json(two_user.folder / path)
    assert saved.experiment_id != result.experiment_id
    assert saved.measurement_config_hash == result.measurement_config_hash
    assert saved.output_tokens == result.output_tokens


def test_results_lists_verifies_and_shows_it(two_user, quiet_run, result):
    rows = json.loads(two_user.llem("results", "list", "--json").stdout)
    assert result.experiment_id in [row["experiment_id"] for row in rows]
    assert len(rows) == 2
    verified = two_user.llem("results", "verify")
    assert (verified.code, verified.stdout) == (0, "2 of 2 results are as they were saved\n")
    shown = two_user.llem("results", "show", result.experiment_id)
    assert re.search(r"^ processes\s+2\s*$", shown.stdout, re.MULTILINE)
    assert f"{result.total_tokens} (112 in, {result.output_tokens} out)" in shown.stdout
    assert "nothing to recover" in two_user.llem("results", "recover").stdout


def test_run_experiment_without_a_directory_leaves_nothing_behind(user, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    code = (sys.executable, "-c", RUN_IN_PYTHON, user.experiment(**TINY))
    ended = user.run(*code, workers=True, TMPDIR=str(temporary))
    assert (ended.code, ended.stdout, ended.stderr) == (0, "[2, 16]\n", "")
    assert user.made() == []
    assert list(temporary.glob("llem*")) == []  # what else is in there is PyTorch's
    assert not user.unsaved.exists()


# A process that is killed.


class Killed(NamedTuple):
    """A run of which the process `index` was killed while it measured.

    `recovered_meanwhile` is what `llem results recover --remove` did while the other one still measured.
    """

    user: object
    index: int
    recovered_meanwhile: Ended
    ended: Ended

    @property
    def other(self):
        return 1 - self.index


@pytest.fixture(scope="module", params=[1, 0], ids=["process 1", "process 0"])
def killed(new_user, request):
    user, index = new_user(), request.param
    with running(user, LLEM, "run", user.experiment(**SECONDS)) as command:
        command.wait_for_requests(4)
        victim, other = command.members[index], command.members[1 - index]
        other.suspend()  # so that it still measures while somebody looks
        victim.kill()
        until(lambda: not lives(victim), "the killed process has ended")
        recovered = user.llem("results", "recover", "--remove")
        assert lives(other)
        other.resume()
        ended = command.end()
        command.wait_until_nobody_is_left()
    return Killed(user, index, Ended(recovered.code, recovered.stdout, recovered.stderr), ended)


def test_a_run_that_lives_is_not_shown_and_not_removed(killed):
    assert killed.recovered_meanwhile == (0, "nothing to recover in results\n", "")


def test_a_run_with_a_killed_process_fails_and_names_it_and_where_the_rest_is_kept(killed):
    (raw,) = kept(killed.user).values()
    _, _, error = killed.ended.stderr.partition("error: ")
    assert (killed.ended.code, killed.ended.stdout) == (1, "")
    assert f"process {killed.index} was ended by SIGKILL" in error
    assert f"process {killed.other} was" not in error
    assert f"kept in results/.state/{raw.experiment_id}: llem results recover shows it" in error
    assert "Traceback" not in killed.ended.stderr


def test_the_other_process_finishes_and_what_it_measured_is_whole(killed):
    ((index, raw),) = kept(killed.user).items()
    assert index == killed.other
    assert not raw.is_partial
    assert raw.requests.output_tokens == [200] * 20
    assert len(raw.per_request_latencies_ms) == 20
    assert raw.inference_metrics.output_tokens == 200 * 20
    assert (killed.user.folder / "results" / ".state" / raw.experiment_id / f".completed_{index}").exists()


def test_recover_shows_what_is_left_and_removes_it_when_asked(killed):
    (raw,) = kept(killed.user).values()
    folder = f"results/.state/{raw.experiment_id}"
    shown = killed.user.llem("results", "recover")
    assert shown.code == 0
    finished, processes = journalled(killed.user, killed.index)
    assert f"{folder}: {20 + finished} finished requests of {1 + processes} process(es)" in shown.stdout
    assert re.search(rf"process {killed.index} did not finish|no result of process {killed.index}", shown.stdout)
    assert "llem results recover --remove deletes these" in shown.stdout
    assert kept(killed.user)
    removed = killed.user.llem("results", "recover", "--remove")
    assert removed.code == 0
    assert re.search(rf"^{re.escape(folder)}: .*; removed$", removed.stdout, re.MULTILINE)
    assert killed.user.results() == []
    assert "nothing to recover" in killed.user.llem("results", "recover").stdout


@pytest.fixture(scope="module")
def killed_early(new_user):
    """A run of which process 1 was killed while the model was loaded; its user, how it ended, and how long after."""
    user = new_user()
    with running(user, LLEM, "run", user.experiment(**MINUTES), workers=False) as command:
        command.wait_for("loading random:llama …")
        command.wait_for_members()[1].kill()
        killed_s = time.monotonic()
        ended = command.end()
        lasted_s = time.monotonic() - killed_s
        command.wait_until_nobody_is_left()
    return user, ended, lasted_s


def test_a_process_killed_before_the_measurement_ends_the_run_soon_and_nothing_is_left(killed_early):
    user, ended, lasted_s = killed_early
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.endswith("error: process 1 was ended by SIGKILL\n")
    assert "measuring" not in ended.stderr
    assert lasted_s < PATIENCE_S / 2
    assert user.results() == []


def test_a_process_killed_before_the_measurement_leaves_no_directory_that_was_not_there(killed_early):
    assert killed_early[0].made() == []


def test_a_process_killed_before_it_has_met_the_others_ends_the_run_soon(user):
    with running(user, LLEM, "run", user.experiment(**TINY), workers=False) as command:
        members = command.wait_for_members()
        members[1].suspend()
        until(lambda: has_come(command, 0), "process 0 waits for the other one")
        members[1].kill()
        ended = command.end(SOON_S)
    assert ended.code == 1
    assert "process 1 was ended by SIGKILL" in ended.stderr


def test_what_a_library_prints_in_a_worker_is_no_message(user):
    place = user.folder.with_name("libraries")
    place.mkdir()
    (place / "sitecustomize.py").write_text(A_LIBRARY_THAT_PRINTS, encoding="utf-8")
    with running(user, LLEM, "run", user.experiment(**TINY), PYTHONPATH=str(place)) as command:
        command.wait_for("Traceback|measuring")
        assert "Traceback" not in command.shown


# A run that is stopped.


@pytest.mark.parametrize(
    ("stop", "code", "word"),
    [
        (Running.press_ctrl_c, 130, "interrupted"),
        (lambda command: command.process.terminate(), 143, "terminated"),
    ],
    ids=["ctrl-c", "sigterm"],
)
def test_a_run_that_is_stopped_keeps_what_each_process_has_and_says_where(user, stop, code, word):
    with running(user, LLEM, "run", user.experiment(**MINUTES)) as command:
        command.wait_for_requests_of_each(user)
        stop(command)
        ended = command.end()
        command.wait_until_nobody_is_left()
    raws = kept(user)
    assert sorted(raws) == [0, 1]
    assert (ended.code, ended.stdout) == (code, "")
    _, _, error = ended.stderr.partition("error: ")
    assert error.splitlines()[0] == word
    assert "Traceback" not in ended.stderr
    for index, raw in raws.items():
        finished = len(raw.requests.output_tokens)
        assert 0 < finished < 500
        assert raw.is_partial
        assert raw.requests.output_tokens == [200] * finished
        place = f"results/.state/{raw.experiment_id}/process_{index}.json"
        assert f"process {index}: stopped\n{finished} finished requests are kept in {place}" in error


def test_workers_whose_llem_was_killed_end_and_keep_what_they_have(user):
    with running(user, LLEM, "run", user.experiment(**MINUTES)) as command:
        command.wait_for_requests_of_each(user)
        command.process.kill()
        ended = command.end()
        command.wait_until_nobody_is_left()
    assert ended.code == -signal.SIGKILL
    raws = kept(user)
    finished = {index: len(raw.requests.output_tokens) for index, raw in raws.items()}
    assert sorted(raws) == [0, 1]
    assert all(0 < count < 500 for count in finished.values())
    assert all(raw.is_partial for raw in raws.values())
    shown = user.llem("results", "recover")
    assert f"{sum(finished.values())} finished requests of 2 process(es)" in shown.stdout
    assert "processes 0, 1 did not finish" in shown.stdout


# torchrun.


def test_a_run_that_torchrun_starts_makes_one_result_and_prints_one_summary(user):
    with running(user, *TORCHRUN, "run", user.experiment(**TINY | {"pytorch": None})) as command:
        ended = command.end()
    (path,) = user.folder.glob("results/*/result.json")
    result = ExperimentResult.from_json(path)
    assert ended.code == 0
    assert [process.process_index for process in result.process_results] == [0, 1]
    assert (result.output_tokens, result.effective_config["pytorch"]["data_parallel"]) == (16, 2)
    assert ended.stdout.count("energy/output token") == 1
    assert ended.stdout.count("saved in") == 1
    assert ended.stdout.rstrip().endswith(f"saved in results/{path.parent.name}")
    assert ended.stderr.count("summing up: ") == 1
    assert user.results() == [path.parent.name, f"{path.parent.name}/result.json"]


def test_where_torchrun_stops_the_rest_because_one_was_killed_they_keep_what_they_have(user):
    with running(user, *TORCHRUN, "run", user.experiment(**MINUTES)) as command:
        command.wait_for_requests(4)
        command.members[1].kill()
        ended = command.end()
        command.wait_until_nobody_is_left()
    ((index, raw),) = kept(user).items()
    finished = len(raw.requests.output_tokens)
    assert (ended.code, index, raw.is_partial) == (1, 0, True)
    assert 0 < finished < 500
    place = f"results/.state/{raw.experiment_id}/process_0.json"
    assert f"error: terminated\n{finished} finished requests are kept in {place}" in ended.stderr
    shown = user.llem("results", "recover").stdout
    others, processes = journalled(user, 1)
    assert f"{finished + others} finished requests of {1 + processes} process(es)" in shown


def test_llem_that_torchrun_has_started_alone_starts_processes_that_meet(user):
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    torchrun = {**alone, "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    with running(user, LLEM, "run", user.experiment(**TINY), **torchrun) as command:
        members = command.wait_for_members()
        assert "TORCHELASTIC_USE_AGENT_STORE" not in members[0].environ()  # or what follows would last long
        command.wait_for("loading random:llama …")


# Wrong numbers.


def test_more_processes_than_batches_are_refused_with_the_line(user):
    yaml = user.write("few.yaml", "model: random:llama\nnum_prompts: 5\nbatch_size: 2\npytorch:\n  data_parallel: 4\n")
    ended = user.llem("run", yaml)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: few.yaml:5: pytorch.data_parallel: 4 processes, and 5 prompts")
    assert user.made() == []


def test_another_number_of_processes_than_torchrun_has_started_is_refused(user):
    with running(user, *TORCHRUN, "run", user.experiment(num_prompts=4, pytorch={"data_parallel": 3})) as command:
        ended = command.end()
    assert ended.code != 0
    assert "error: pytorch.data_parallel: 3, and there are 2 processes" in ended.stderr
    assert ended.stdout == ""
    assert user.made() == []


# What recovery makes of the parts.


def leave(results, name, lasted_s=2, processes=(0, 1)):
    """What the processes of a run of two leave that have ended before there was a result."""
    expect_processes(name, 2, results)
    for index in processes:
        start, end = datetime(2026, 2, 26, 14, 0, index), datetime(2026, 2, 26, 14, 0, index + lasted_s)
        timestamps = Timestamps.from_times(start, end)
        raw = make_raw_result(name).model_copy(update={"process_index": index, "timestamps": timestamps})
        save_part(make_result(experiment_id=name, process_results=[raw]), [], results)


def test_recover_makes_one_result_of_a_run_whose_processes_have_all_finished(user):
    results = user.folder / "results"
    leave(results, "all-there")
    ended = user.llem("results", "recover")
    (path,) = results.glob("*/result.json")
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == f"results/.state/all-there: complete; saved in results/{path.parent.name}\n"
    assert user.results() == [path.parent.name, f"{path.parent.name}/result.json"]
    result = ExperimentResult.from_json(path)
    assert result.experiment_id == "all-there"
    assert [raw.process_index for raw in result.process_results] == [0, 1]
    assert (result.total_tokens, result.total_inference_time_sec) == (4, 3.0)  # two each; from 0 to 2, and from 1 to 3
    assert result.effective_config["model"] == "gpt2"
    assert user.llem("results", "verify").stdout == "1 of 1 results are as they were saved\n"


def test_a_run_that_cannot_be_aggregated_does_not_keep_the_others_from_being_removed(user):
    results = user.folder / "results"
    leave(results, "a-no-time", lasted_s=0)
    leave(results, "b-killed", processes=[0])
    ended = user.llem("results", "recover", "--remove")
    assert "unexpected" not in ended.stderr
    assert not (results / ".state" / "b-killed").exists()
