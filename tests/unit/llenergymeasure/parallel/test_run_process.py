"""The process of a run, whatever it does: who waits for it never hangs, and nothing of it is left."""

from contextlib import closing
from pathlib import Path

import psutil
import pytest
from tiny import tiny_config

from llenergymeasure.config.models import UserConfig
from llenergymeasure.parallel import run_process
from llenergymeasure.parallel.messages import RunTask
from llenergymeasure.parallel.run_process import RunProcess

STANDINS = Path(__file__).parents[3] / "standins"
TASK = RunTask(config=tiny_config(), user=UserConfig())


@pytest.fixture
def odd(monkeypatch, tmp_path):
    """Starts an odd process in the place of a run's, which is given little time to end."""
    monkeypatch.setattr(run_process, "PROGRAM", "odd_run")
    monkeypatch.setattr(run_process, "GRACE_S", 0.2)
    monkeypatch.setattr(run_process, "STRAYS_GRACE_S", 0.1)
    monkeypatch.setenv("PYTHONPATH", str(STANDINS))
    monkeypatch.setenv("MY_API_KEY", "sk-0123456789abcdefghij")

    def start(how):
        monkeypatch.setenv("ODD", how)
        return closing(RunProcess(tmp_path, ["run", "x.yaml"], keeps_words=True))

    yield start
    strays = [each for each in psutil.process_iter(["cmdline"]) if "odd_run" in (each.info["cmdline"] or [])]
    assert strays == []


def descendants():
    return {each.pid for each in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize("how", ["deaf", "orphan"])
def test_a_run_that_takes_too_long_is_ended_with_all_that_it_has_started_though_it_is_deaf(odd, tmp_path, how):
    before = descendants()
    with odd(how) as process:
        ended = process.run(TASK, timeout_s=0.5)
        (mark,) = {process._mark}
    assert ended == (None, "took over 0.5 s (study.timeout_s) and was ended", ended.ending)
    assert descendants() <= before
    assert not any(_is_marked(each, mark) for each in psutil.process_iter())


def test_the_command_that_recovers_what_a_run_had_is_told_where_it_has_kept_anything(odd, tmp_path, monkeypatch):
    (tmp_path / ".state" / "of-another-run").mkdir(parents=True)
    with odd("crash") as process:
        wait = process._wait
        monkeypatch.setattr(process, "_wait", lambda until_s: [(tmp_path / ".state/run").mkdir(), wait(until_s)][1])
        ended = process.run(TASK)
    assert ended.ending == f"was ended by SIGABRT; llem results recover {tmp_path} shows what it has left"


def _is_marked(process, mark):
    try:
        return process.environ().get(run_process.MARK) == mark
    except (psutil.Error, OSError):
        return False


def test_the_last_words_of_a_process_that_crashed_are_its_problem_printable_and_without_keys(odd, tmp_path):
    with odd("crash") as process:
        ended = process.run(TASK)
    assert ended.ending == "was ended by SIGABRT"
    lines = ended.problem.splitlines()
    assert lines[0] == f"{ended.ending}; its last lines:"
    assert lines[2] == "  terminate called after throwing an instance of 'std::bad_alloc'"
    assert lines[3] == "  key=(the key)"
    assert ended.problem.replace("\n", "").isprintable()


def test_a_process_that_writes_more_than_a_pipe_takes_is_read_to_its_report(odd):
    with odd("loud") as process:
        assert process.run(TASK, timeout_s=60) == (Path("x/result.json"), "", "")


def test_a_report_that_is_none_is_a_problem_and_no_traceback(odd):
    with odd("garbage") as process:
        ended = process.run(TASK)
    assert ended.path is None
    assert ended.problem == 'reported {"more": 1}'


def test_ctrl_c_stops_the_run_and_says_what_it_has_kept(odd, monkeypatch):
    monkeypatch.setattr(run_process, "GRACE_S", 60.0)
    with odd("interrupting") as process, pytest.raises(KeyboardInterrupt) as caught:
        process.run(TASK)
    assert caught.value.__notes__ == ["3 finished requests are kept in x"]
