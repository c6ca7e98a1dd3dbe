"""Output for people: progress by the kind of stream, facts in full, and no text read as markup."""

import io
import json
import sys
import threading
import time

import pytest

from labledger import console
from labledger.console import (
    StderrProgress,
    print_answer,
    print_error,
    print_facts,
    print_json,
    print_table,
    print_warnings,
)

CLEAR = "\r\x1b[2K"


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def run_two_phases(stream, clock):
    """Load in 2.5 s; then 100 steps of half a second each."""
    progress = StderrProgress(stream)
    progress.phase("load")
    clock.now_s += 2.5
    progress.phase("measure")
    for done in range(1, 101):
        clock.now_s += 0.5
        progress.update(done, 100, "batch 4")
    progress.finish()


def shown(capsys):
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_a_file_gets_a_line_a_phase_and_one_every_ten_seconds(clock):
    stream = io.StringIO()
    run_two_phases(stream, clock)
    assert stream.getvalue().splitlines() == [
        "load: 2.5 s",
        "measure: 20/100 (batch 4)",
        "measure: 40/100 (batch 4)",
        "measure: 60/100 (batch 4)",
        "measure: 80/100 (batch 4)",
        "measure: 100/100 (batch 4)",
        "measure: 50.0 s",
    ]


def test_a_terminal_gets_one_line_a_phase_that_is_written_over(clock):
    stream = Terminal()
    run_two_phases(stream, clock)
    load, measure, rest = stream.getvalue().split("\n")
    assert load == f"{CLEAR}load …{CLEAR}load: 2.5 s"
    assert measure.split(CLEAR)[1:4] == ["measure …", "measure: 1/100 (batch 4)", "measure: 2/100 (batch 4)"]
    assert measure.endswith(f"{CLEAR}measure: 50.0 s")
    assert rest == ""


def test_a_terminal_is_not_written_to_more_often_than_a_person_reads(clock):
    stream = Terminal()
    progress = StderrProgress(stream)
    progress.phase("measure")
    for done in range(1, 1001):
        clock.now_s += 0.001
        progress.update(done, 1000)
    progress.finish()
    assert stream.getvalue().count(CLEAR) <= 7


def test_a_job_that_is_over_shows_nothing_more(clock):
    stream = io.StringIO()
    progress = StderrProgress(stream)
    progress.finish()
    progress.phase("load")
    progress.finish()
    progress.finish()
    assert stream.getvalue() == "load: 0.0 s\n"


def test_progress_goes_to_stderr(capsys):
    progress = StderrProgress()
    progress.phase("load")
    progress.finish()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "load: 0.0 s\n")


def passed(progress, clock, seconds):
    """Let so many seconds pass, the progress looking twice in each."""
    for _ in range(2 * seconds):
        clock.now_s += 0.5
        progress.look()


def test_a_long_phase_counts_its_seconds_on_a_terminal(clock):
    stream = Terminal()
    with StderrProgress(stream) as progress:
        progress.phase("load")
        passed(progress, clock, 3)
    assert stream.getvalue().split(CLEAR)[1:] == ["load …", "load … 1 s", "load … 2 s", "load … 3 s", "load: 3.0 s\n"]


def test_a_long_phase_shows_that_it_lives_in_a_file_too_but_seldom(clock):
    stream = io.StringIO()
    with StderrProgress(stream) as progress:
        progress.phase("load")
        passed(progress, clock, 70)
    assert stream.getvalue().splitlines() == [
        "load: 5 s so far",
        "load: 35 s so far",
        "load: 65 s so far",
        "load: 70.0 s",
    ]


def test_a_phase_that_shows_how_far_it_is_needs_no_other_sign_of_life(clock):
    stream = io.StringIO()
    with StderrProgress(stream) as progress:
        progress.phase("measure")
        for done in range(1, 61):
            passed(progress, clock, 1)
            progress.update(done, 60)
    assert stream.getvalue().splitlines()[:3] == ["measure: 4/60: 5 s so far", "measure: 15/60", "measure: 25/60"]


def test_a_phase_is_kept_alive_without_anyone_looking(monkeypatch):
    monkeypatch.setattr(console, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(console, "FIRST_ALIVE_S", 0.0)
    written = threading.Event()
    stream = io.StringIO()
    stream.flush = written.set
    with StderrProgress(stream) as progress:
        progress.phase("load")
        assert written.wait(60)
    assert "so far" in stream.getvalue().splitlines()[0]


def test_a_short_phase_is_not_shown_where_only_long_ones_are(clock):
    for stream in (io.StringIO(), Terminal()):
        with StderrProgress(stream, shown_after_s=1.0) as progress:
            progress.phase("draw")
            clock.now_s += 0.9
            progress.look()
            progress.phase("simulate")
            passed(progress, clock, 2)
        assert "draw" not in stream.getvalue()
        assert stream.getvalue().endswith("simulate: 2.0 s\n")


def test_a_note_is_shown_as_soon_as_there_is_one_and_once(clock):
    notes = iter(["", "compiling", "compiling", "compiling"])
    stream = io.StringIO()
    with StderrProgress(stream, shown_after_s=1.0, note=lambda: next(notes)) as progress:
        progress.phase("simulate")
        passed(progress, clock, 2)
    assert stream.getvalue().splitlines() == ["compiling: 1 s so far", "simulate: 2.0 s"]


def test_a_message_stands_above_the_line_of_the_phase(clock):
    stream = Terminal()
    with StderrProgress(stream) as progress:
        progress.phase("run")
        progress.message("iteration 1")
    assert stream.getvalue() == f"{CLEAR}run …{CLEAR}iteration 1\n{CLEAR}run …{CLEAR}run: 0.0 s\n"


def test_a_message_in_a_file_is_a_line_and_a_sign_of_life(clock):
    stream = io.StringIO()
    with StderrProgress(stream) as progress:
        progress.phase("run")
        passed(progress, clock, 4)
        progress.message("iteration 1")
        passed(progress, clock, 4)
    assert stream.getvalue() == "iteration 1\nrun: 8.0 s\n"


def test_a_line_that_is_longer_than_the_terminal_takes_one_row(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    with StderrProgress(stream) as progress:
        progress.phase("loading " + "x" * 50)
        shown = stream.getvalue().removeprefix(CLEAR)
    assert len(shown) == 19
    assert shown.endswith("…")


def test_a_stream_that_is_closed_meanwhile_ends_the_signs_of_life_quietly(monkeypatch, capsys):
    monkeypatch.setattr(console, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(console, "FIRST_ALIVE_S", 0.0)
    stream = io.StringIO()
    progress = StderrProgress(stream)
    stream.close()
    progress.phase("load")
    progress._thread.join(60)
    assert not progress._thread.is_alive()
    assert capsys.readouterr().err == ""


def test_facts_are_a_title_and_a_line_each(capsys):
    print_facts("machine", [("cpu", "fast"), ("memory", "16 GB")])
    title, *lines = shown(capsys)
    assert title == "machine"
    assert [line.split(maxsplit=1) for line in lines] == [["cpu", "fast"], ["memory", "16 GB"]]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_long_value_is_folded_and_not_cut(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    value = "".join(str(n % 10) for n in range(500))
    print_facts("", [("model", value)])
    lines = shown(capsys)
    assert len(lines) > 1
    assert all(len(line) <= columns for line in lines)
    assert "".join(lines).removeprefix("model").replace(" ", "") == value


PATH = "results/" + "a-long-name-of-a-run/" * 9 + "result.json"


@pytest.mark.parametrize("columns", ["40", None])
def test_a_path_is_never_broken(capsys, monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: columns is not None)
    print_facts("", [("database", f"{PATH}, run x"), ("many words", "of them " * 20)])
    print_table(("a", "file"), [("of them " * 20, PATH)])
    shown = capsys.readouterr().out
    assert shown.count(PATH) == 2
    assert (len(shown.splitlines()) < 10) == (columns is None)


def test_a_long_name_does_not_push_its_value_out(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_facts("", [("n" * 60, "the value")])
    assert "thevalue" in "".join(shown(capsys)).replace(" ", "")


@pytest.mark.parametrize("text", ["[red]x[/red]", "[/]", "[link=http://x.org]y[/link]", ":smile:", "a\\[b]"])
def test_a_users_text_is_never_read_as_markup(capsys, text):
    print_facts(text, [(text, text)])
    title, line = shown(capsys)
    assert title == text
    assert line.split() == [text, text]


def test_an_error_goes_to_stderr_as_it_stands(capsys):
    print_error("[red]x[/red]\n  second line")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: [red]x[/red]\n  second line\n")


def test_an_answer_goes_to_stdout_as_it_stands(capsys):
    print_answer("[red]x[/red]" * 50)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("[red]x[/red]" * 50 + "\n", "")


EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u200b\r\ud800"
SEEN = "\ufffd]0;owned\ufffd\ufffd[2J\ufffd31m\ufffdevil\ufffd \ufffd"


def test_whatever_is_printed_a_terminal_gets_no_command_of_it(capsys):
    print_answer(f"one\t{EVIL}\ntwo {EVIL}")
    print_error(EVIL)
    assert capsys.readouterr() == (f"one\t{SEEN}\ntwo {SEEN}\n", f"error: {SEEN}\n")
    print_table((f"name{EVIL}", "b"), [(f"a\n{EVIL}", EVIL)])
    print_facts(EVIL, [(f"{EVIL}\nx", f"{EVIL}\ty")])
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert out.count("owned") == 6


def test_what_is_printed_as_json_means_what_was_given(capsys):
    for document in (json.dumps({EVIL: EVIL}, ensure_ascii=False), json.dumps({EVIL: EVIL}, indent=1)):
        print_json(document)
        out = capsys.readouterr().out
        assert out.replace("\n", "").isprintable()
        assert json.loads(out) == {EVIL: EVIL}


def test_progress_shows_no_command_of_a_terminal_but_its_own(clock):
    stream = Terminal()
    progress = StderrProgress(stream)
    progress.phase(EVIL)
    clock.now_s += 1
    progress.update(1, 2, EVIL)
    progress.finish()
    assert stream.getvalue().count("owned") == 4
    assert stream.getvalue().replace(CLEAR, "").replace("\n", "").isprintable()


def test_of_many_warnings_and_long_ones_the_first_are_shown_and_how_to_see_every_one(capsys):
    print_warnings(["it is cold", *(f"number {n}" for n in range(100_000)), "it is cold"])
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[0], lines[19]) == (21, "  ! it is cold (2 times)", "  ! number 18")
    assert lines[20] == "  ! and 99,981 more warnings: --json has every one"
    print_warnings(["w" * 5_000_000])
    print_facts("", [("model", "m" * 5_000_000)])
    assert len(capsys.readouterr().out) < 6_000
