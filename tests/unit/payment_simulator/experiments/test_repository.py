"""Every stored part of an experiment comes back as it was; one that would not is refused."""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

import duckdb
import numpy as np
import pytest

from labledger.errors import LabledgerError
from labledger.json_text import dump_json
from payment_simulator.experiments.persistence import (
    DatabaseError,
    ExperimentRecord,
    ExperimentRepository,
    IterationRecord,
    RecordError,
    tables,
)
from payment_simulator.experiments.persistence import repository as repository_module
from small_experiment import MOMENT, complete, event, experiment, iteration


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "exp1.db"


@pytest.fixture
def repository(path):
    with ExperimentRepository(path) as opened:
        yield opened


@pytest.fixture
def stored(repository):
    repository.save_experiment(experiment())
    return repository


def owner_of_a_process_that_has_ended():
    asked = "import json, payment_simulator.experiments.persistence.owner as o; print(json.dumps(o.this_process()))"
    answer = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    return json.loads(answer)


def together(repository, *actions):
    with repository.transaction() as step:
        for action in actions:
            action(step)


def everything_of(repository):
    return [
        (each, repository.get_iterations(each.experiment_id), repository.get_events(each.experiment_id))
        for each in repository.list_experiments()
    ]


def test_a_new_repository_is_a_file_with_nothing_in_it(path):
    assert ExperimentRepository(path).list_experiments() == []
    assert [each.name for each in path.parent.iterdir() if not each.name.startswith(".")] == ["exp1.db"]


def test_the_records_of_the_plan_are_stored_and_listed(repository):
    repository.save_experiment(
        ExperimentRecord(
            experiment_id="abc",
            experiment_name="test_exp",
            experiment_type="generic",
            config={"master_seed": 42},
            started_at=datetime.now().isoformat(),
        )
    )
    repository.save_iteration(
        IterationRecord(
            experiment_id="abc",
            iteration_number=1,
            total_cost=2**40,
            per_agent_costs={"A": 2**40},
            policies={"A": {"initial_liquidity_fraction": 0.1}},
            timestamp=datetime.now().isoformat(),
        )
    )
    [record] = repository.list_experiments()
    [first] = repository.get_iterations("abc")
    assert (record.experiment_name, record.config, record.completed_at) == ("test_exp", {"master_seed": 42}, None)
    assert (first.total_cost, first.per_agent_costs) == (2**40, {"A": 2**40})


def test_every_field_comes_back_in_another_repository(path, stored):
    stored.save_experiment(experiment("full", scenario={"agents": [{"id": "A"}]}, environment={"python": "3.11"}))
    gap = {"nash_gap": 3, "nash_gap_half_width": 1}
    stored.save_iteration(iteration(7, "full", **gap))
    stored.save_event(event("llm_interaction", "full", iteration=7, event_data={"prompt": "…", "tokens": [1, 2]}))
    found = {"num_iterations": 7, "final_costs_by_agent": {"A": 10, "B": 20}, "final_policies": {"A": {"x": 0.5}}}
    complete(stored, "full", **found, final_nash_gap=2, final_nash_gap_half_width=1)
    stored.close()
    with ExperimentRepository(path, must_exist=True) as again:
        record = again.load_experiment("full")
        assert (record.scenario, record.environment) == ({"agents": [{"id": "A"}]}, {"python": "3.11"})
        assert {name: getattr(record, name) for name in found} == found
        assert (record.status, record.converged, record.convergence_reason) == ("completed", True, "stability")
        assert (record.final_cost, record.final_nash_gap, record.final_nash_gap_half_width) == (30, 2, 1)
        assert (record.total_duration_seconds, record.completed_at) == (1.5, MOMENT.isoformat())
        assert again.get_iterations("full") == [iteration(7, "full", timestamp=MOMENT.isoformat(), **gap)]
        assert again.get_events("full")[0].event_data == {"prompt": "…", "tokens": [1, 2]}


@pytest.mark.parametrize("cost", [2**31, 2**53 + 1, 2**63 - 1, -(2**63), 0])
def test_costs_past_two_to_the_31_come_back_to_the_cent(stored, cost):
    stored.save_iteration(iteration(total_cost=cost, per_agent_costs={"A": cost}, nash_gap=cost))
    complete(stored, final_cost=cost, final_costs_by_agent={"A": cost})
    [found] = stored.get_iterations("run-1")
    ended = stored.load_experiment("run-1")
    assert [found.total_cost, found.per_agent_costs["A"], found.nash_gap] == [cost] * 3
    assert [ended.final_cost, ended.final_costs_by_agent["A"]] == [cost] * 2


@pytest.mark.parametrize("cost", [1.0, True, "1", None, np.int64(1), [1]])
@pytest.mark.parametrize("field", ["total_cost", "per_agent_costs", "nash_gap", "nash_gap_half_width"])
def test_a_cost_that_is_not_an_int_is_a_type_error_and_nothing_is_stored(stored, field, cost):
    if cost is None and field.startswith("nash"):
        return
    record = iteration(**{field: {"A": cost} if field == "per_agent_costs" else cost})
    with pytest.raises(TypeError, match=field):
        together(stored, lambda step: step.save_event(event()), lambda step: step.save_iteration(record))
    assert (stored.get_iterations("run-1"), stored.get_events("run-1")) == ([], [])


@pytest.mark.parametrize("cost", [1.5, True, np.int32(4)])
@pytest.mark.parametrize("field", ["final_cost", "final_costs_by_agent", "final_nash_gap"])
def test_a_final_cost_that_is_not_an_int_is_a_type_error_and_the_experiment_runs_on(stored, field, cost):
    with pytest.raises(TypeError, match=field):
        complete(stored, **{field: {"A": cost} if field == "final_costs_by_agent" else cost})
    assert stored.load_experiment("run-1").status == "running"


def test_a_cost_of_more_than_64_bits_is_refused(stored):
    with pytest.raises(ValueError, match="total_cost: 9223372036854775808 does not fit in 64 bits"):
        stored.save_iteration(iteration(total_cost=2**63))
    with pytest.raises(ValueError, match=r"per_agent_costs\.A"):
        stored.save_iteration(iteration(per_agent_costs={"A": -(2**63) - 1}))
    assert stored.get_iterations("run-1") == []


def test_json_comes_back_exactly(stored):
    exact = {
        "big": 2**70,
        "sum": 0.1 + 0.2,
        "tiny": 5e-324,
        "minus": -0.0,
        "text": "Zürich 🏦 \x00 \"'\\",
        "none": None,
    }
    nested = {"list": [1, [2.0, {"deep": [True, False]}]], "": {}, "é": []}
    stored.save_event(event(event_data=exact | nested))
    data = stored.get_events("run-1")[0].event_data
    assert repr(data) == repr(exact | nested)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", 10**4001])
def test_what_json_cannot_give_back_is_refused_with_its_place(stored, value):
    with pytest.raises(ValueError, match=r"event_data\.agents\[1\]"):
        stored.save_event(event(event_data={"agents": [1, value]}))
    assert stored.get_events("run-1") == []


@pytest.mark.parametrize("value", [{1: "a"}, np.int64(3), {1, 2}, MOMENT])
def test_what_json_would_turn_into_something_else_is_a_type_error(stored, value):
    with pytest.raises(TypeError, match="event_data"):
        stored.save_event(event(event_data={"value": value}))


@pytest.fixture
def in_kolkata(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "moment",
    [
        MOMENT,
        MOMENT.astimezone(timezone(timedelta(hours=-8))),
        "2026-02-26T14:00:00Z",
        "2026-02-26T15:00:00+01:00",
        datetime(2026, 2, 26, 19, 30),
        "2026-02-26T19:30:00",
    ],
)
def test_moments_come_back_in_utc_and_naive_ones_are_local(stored, in_kolkata, moment):
    stored.save_event(event(timestamp=moment))
    assert stored.get_events("run-1")[0].timestamp == "2026-02-26T14:00:00+00:00"


def test_a_moment_keeps_its_microseconds(stored):
    stored.save_event(event(timestamp=MOMENT + timedelta(microseconds=1)))
    assert stored.get_events("run-1")[0].timestamp == "2026-02-26T14:00:00.000001+00:00"


@pytest.mark.parametrize(("moment", "error"), [("yesterday", ValueError), (1.5, TypeError)])
def test_what_is_no_moment_is_refused(stored, moment, error):
    with pytest.raises(error, match="timestamp"):
        stored.save_event(event(timestamp=moment))


def test_a_second_experiment_of_an_id_is_refused_and_the_first_stays(stored):
    before = everything_of(stored)
    with pytest.raises(RecordError, match=r"exp1\.db: there is an experiment run-1 already.*another id"):
        stored.save_experiment(experiment(experiment_name="other"))
    assert everything_of(stored) == before


def test_a_second_iteration_of_a_number_is_refused_and_the_first_stays(stored):
    stored.save_iteration(iteration(1))
    with pytest.raises(RecordError, match="run-1 has an iteration 1 already"):
        stored.save_iteration(iteration(1, total_cost=31))
    assert [each.total_cost for each in stored.get_iterations("run-1")] == [30]


@pytest.mark.parametrize(
    "action",
    [
        lambda repository: repository.save_iteration(iteration(1, "run-2")),
        lambda repository: repository.save_event(event(experiment_id="run-2")),
        lambda repository: complete(repository, "run-2"),
        lambda repository: repository.load_experiment("run-2"),
        lambda repository: repository.get_iterations("run-2"),
        lambda repository: repository.get_events("run-2"),
        lambda repository: repository.take_over("run-2"),
    ],
)
def test_an_experiment_that_is_not_there_is_an_error_that_names_a_near_one(stored, action):
    with pytest.raises(RecordError, match=r"no experiment run-2 \(did you mean run-1\?\)") as refused:
        action(stored)
    assert isinstance(refused.value, DatabaseError)
    assert isinstance(refused.value, LabledgerError)


def test_events_are_numbered_by_experiment_in_the_order_in_which_they_were_saved(stored):
    stored.save_experiment(experiment("run-2"))
    stored.save_event(event("experiment_started", iteration=0))
    stored.save_events([event("policy_proposed"), event("started", "run-2"), event("policy_accepted")])
    with stored.transaction() as step:
        step.save_event(event("evaluation", iteration=2, event_id=99))
        step.save_event(event("converged", iteration=2))
    stored.save_events([])
    names = [(each.event_id, each.event_type) for each in stored.get_events("run-1")]
    assert names == list(
        enumerate(["experiment_started", "policy_proposed", "policy_accepted", "evaluation", "converged"], start=1)
    )
    assert [each.event_id for each in stored.get_events("run-2")] == [1]
    assert [each.event_type for each in stored.get_events("run-1", iteration=1)] == [
        "policy_proposed",
        "policy_accepted",
    ]
    assert [each.event_id for each in stored.get_events("run-1", event_type="evaluation")] == [4]
    assert [each.event_id for each in stored.get_events("run-1", 2, "converged")] == [5]
    assert stored.get_events("run-1", 0, "converged") == []


def test_a_thousand_events_are_saved_at_once(stored):
    stored.save_events([event(event_data={"n": n}) for n in range(1000)])
    assert [each.event_data["n"] for each in stored.get_events("run-1")] == list(range(1000))


def test_a_transaction_is_stored_in_full_or_not_at_all(stored):
    with stored.transaction() as step:
        step.save_iteration(iteration(1))
        step.save_event(event())
    before = everything_of(stored)
    second = [lambda step: step.save_iteration(iteration(2)), complete, lambda step: step.save_event(event())]
    with pytest.raises(ZeroDivisionError):
        together(stored, *second, lambda step: 1 / 0)
    assert everything_of(stored) == before
    with pytest.raises(RecordError):
        together(stored, *second, lambda step: step.save_iteration(iteration(1)))
    assert everything_of(stored) == before


def test_one_bad_event_of_several_keeps_all_of_them_out(stored):
    with pytest.raises(RecordError):
        stored.save_events([event(), event(experiment_id="run-2")])
    with pytest.raises(ValueError, match="event_data"):
        stored.save_events([event(), event(event_data={"x": float("nan")})])
    assert stored.get_events("run-1") == []


def test_experiments_are_listed_the_last_first_and_by_status_and_name(repository):
    for number in range(5):
        repository.save_experiment(
            experiment(f"run-{number}", started_at=MOMENT + timedelta(hours=number), experiment_name=f"n{number % 2}")
        )
    complete(repository, "run-1")
    complete(repository, "run-2", status="failed", final_cost=None, converged=None)

    def listed(**how):
        return [each.experiment_id[-1] for each in repository.list_experiments(**how)]

    assert listed() == ["4", "3", "2", "1", "0"]
    assert listed(limit=2) == ["4", "3"]
    assert listed(name="n1") == ["3", "1"]
    assert listed(status="running") == ["4", "3", "0"]
    assert (listed(status="completed"), listed(status="failed", limit=1)) == (["1"], ["2"])
    assert listed(name="n1'; DROP TABLE experiments; --") == []


@pytest.fixture
def five(path):
    """A database of five experiments, of which the later are the larger; a page has two."""
    with ExperimentRepository(path) as repository, repository.transaction() as step:
        for number in range(5):
            started = MOMENT + timedelta(hours=number)
            config = {"description": "x" * 100 * number}
            step.save_experiment(experiment(f"run-{number}", started_at=started, config=config))
    return path


def test_experiments_are_read_a_page_at_a_time_and_half_a_page_where_that_is_too_much(five, monkeypatch):
    monkeypatch.setattr(repository_module, "PAGE", 3)
    monkeypatch.setattr(tables, "MAX_BYTES", 10_000)
    [large] = ExperimentRepository(five).list_experiments(limit=1)
    size = sum(len(dump_json(each)) for each in (large.config, large.owner, large.environment) if each is not None)
    monkeypatch.setattr(tables, "MAX_BYTES", size + 300)
    with pytest.raises(DatabaseError, match="to read at once"), ExperimentRepository(five)._database.read() as reader:
        tables.select(reader, ExperimentRecord, "", [])
    found = [each.experiment_id for each in ExperimentRepository(five).list_experiments()]
    assert found == ["run-4", "run-3", "run-2", "run-1", "run-0"]


def test_who_writes_gets_the_database_between_two_pages(five, monkeypatch):
    monkeypatch.setattr(repository_module, "PAGE", 2)
    reader, writer = ExperimentRepository(five), ExperimentRepository(five, patience_s=1)
    found = []
    for each in reader.each_experiment():
        writer.save_experiment(experiment(f"new-{each.experiment_id}"))
        found.append(each.experiment_id)
    assert found == ["run-4", "run-3", "run-2", "run-1", "run-0"]
    writer.close()


def test_an_experiment_that_has_not_ended_shows_how_many_iterations_it_has(stored):
    stored.save_iteration(iteration(1))
    stored.save_iteration(iteration(2))
    assert stored.load_experiment("run-1").num_iterations == 2


@pytest.mark.parametrize("status", ["done", "running"])
def test_an_experiment_ends_completed_failed_or_interrupted_and_in_no_other_way(stored, status):
    with pytest.raises(ValueError, match="completed, failed, interrupted"):
        complete(stored, status=status)
    with pytest.raises(ValueError, match="running, completed"):
        stored.save_experiment(experiment("run-2", status="done"))


def test_a_running_experiment_is_owned_by_the_process_that_saved_it(stored):
    record = stored.load_experiment("run-1")
    assert (record.owner["pid"], record.owner["host"], record.status) == (os.getpid(), platform.node(), "running")
    assert record.schema_version == 2


def test_a_run_whose_process_has_ended_reads_as_interrupted_and_the_file_is_unchanged(path, repository):
    gone = owner_of_a_process_that_has_ended()
    elsewhere = gone | {"host": "another-machine"}
    reused = gone | {"pid": os.getpid()}
    for name, owner in {"gone": gone, "elsewhere": elsewhere, "reused": reused, "mine": None}.items():
        repository.save_experiment(experiment(name, owner=owner))
    repository.save_experiment(experiment("done", owner=gone))
    complete(repository, "done")
    assert {each.experiment_id: each.status for each in repository.list_experiments()} == {
        "gone": "interrupted",
        "reused": "interrupted",
        "elsewhere": "running",
        "mine": "running",
        "done": "completed",
    }
    assert {each.experiment_id for each in repository.list_experiments(status="interrupted")} == {"gone", "reused"}
    assert repository.load_experiment("gone").status == "interrupted"
    repository.close()
    with duckdb.connect(path, read_only=True) as shell:
        assert shell.execute("SELECT status FROM experiments WHERE experiment_id = 'gone'").fetchall() == [("running",)]


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_what_was_interrupted_or_failed_is_taken_over_and_runs_again(repository, status):
    repository.save_experiment(experiment(owner=owner_of_a_process_that_has_ended()))
    repository.save_iteration(iteration())
    if status != "running":
        complete(repository, status=status, final_costs_by_agent={"A": 1}, final_policies={"A": {}}, num_iterations=9)
    record = repository.take_over("run-1")
    assert record == repository.load_experiment("run-1")
    assert (record.status, record.owner["pid"], record.num_iterations) == ("running", os.getpid(), 1)
    assert {record.completed_at, record.converged, record.convergence_reason, record.final_cost} == {None}
    assert (record.final_costs_by_agent, record.final_policies, record.total_duration_seconds) == (None, None, None)


def test_what_still_runs_is_not_taken_over(repository):
    repository.save_experiment(experiment("mine"))
    owner = owner_of_a_process_that_has_ended() | {"host": "another-machine"}
    repository.save_experiment(experiment("elsewhere", owner=owner))
    this = f"mine is run by process {os.getpid()} on {platform.node()}"
    with pytest.raises(RecordError, match=rf"{this} \(started [-\d]+ \d\d:\d\d UTC\)"):
        repository.take_over("mine")
    with pytest.raises(RecordError, match=r"elsewhere is run by process .* on another-machine"):
        repository.take_over("elsewhere")
    complete(repository, "mine")
    with pytest.raises(RecordError, match="mine is completed"):
        repository.take_over("mine")


@pytest.mark.parametrize("owner", [{}, {"host": "h", "pid": "1", "pid_started_at": "2026-01-01"}])
def test_an_owner_that_is_no_process_is_refused(repository, owner):
    with pytest.raises(TypeError, match="owner"):
        repository.save_experiment(experiment(owner=owner))


def test_a_closed_repository_reads_and_writes_again(stored):
    stored.close()
    stored.save_iteration(iteration())
    stored.close()
    stored.close()
    assert len(stored.get_iterations("run-1")) == 1
