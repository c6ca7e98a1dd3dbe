"""Runs of several processes that are killed or stopped: what each process keeps, and what is recovered of it."""

import re
import signal
import time
from datetime import datetime
from typing import NamedTuple

import pytest
from data_parallel_runs import (
    LLEM,
    MINUTES,
    PATIENCE_S,
    SECONDS,
    SOON_S,
    TINY,
    TORCHRUN,
    Ended,
    Running,
    has_come,
    journalled,
    kept,
    lives,
    running,
    until,
)

from llenergymeasure import ExperimentResult
from llenergymeasure.domain.figures import Timestamps
from llenergymeasure.results.aggregation import expect_processes
from llenergymeasure.results.parts import save_part
from real_servers import free_port
from small_result import make_raw_result, make_result

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


def member(rank, port):
    """The environment that torchrun gives to one of two processes."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(number) for name, number in numbers.items()}}


def test_where_one_was_killed_and_the_rest_is_terminated_as_torchrun_does_it_keeps_what_it_has(user):
    path, port = user.experiment(**MINUTES), free_port()
    other = user.start("run", path, **member(1, port))
    try:
        with running(user, LLEM, "run", path, **member(0, port)) as command:
            command.wait_for(r"measuring: \d{2,}/")
            other.kill()
            command.process.terminate()
            ended = command.end()
    finally:
        other.kill()
        other.communicate()
    assert ended.code == 143
    check_the_first_process_has_kept_its_own(user, ended)


@pytest.mark.slow
def test_where_torchrun_stops_the_rest_because_one_was_killed_they_keep_what_they_have(user):
    with running(user, *TORCHRUN, "run", user.experiment(**MINUTES)) as command:
        command.wait_for_requests(4)
        command.members[1].kill()
        ended = command.end()
        command.wait_until_nobody_is_left()
    assert ended.code == 1
    check_the_first_process_has_kept_its_own(user, ended)


def check_the_first_process_has_kept_its_own(user, ended):
    ((index, raw),) = kept(user).items()
    finished = len(raw.requests.output_tokens)
    assert (index, raw.is_partial) == (0, True)
    assert 0 < finished < 500
    place = f"results/.state/{raw.experiment_id}/process_0.json"
    assert f"error: terminated\n{finished} finished requests are kept in {place}" in ended.stderr
    shown = user.llem("results", "recover").stdout
    others, processes = journalled(user, 1)
    assert f"{finished + others} finished requests of {1 + processes} process(es)" in shown


# What recovery makes of the parts.


def leave(results, name, lasted_s=2, processes=(0, 1)):
    """Leave the parts of a run of two processes that ended before there was a result."""
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
    assert ended.stdout == (
        f"results/.state/all-there: complete; saved in results/{path.parent.name}\n"
        f"  0 requests, 0.667 output tokens/s, joules unknown: llem results show results/{path.parent.name}\n"
    )
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
