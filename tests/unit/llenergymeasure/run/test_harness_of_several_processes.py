"""A run as one of several processes: what it meters for which others, and what they agree on."""

import itertools
from types import SimpleNamespace

import pytest
from measurements import ENVIRONMENT, batch, model_facts
from one_watt import ALL, PROCESSOR
from run_processes import WINDOWS_S, Peer
from tiny import tiny_config

from labledger.console import Silent
from llenergymeasure.config.models import UserConfig
from llenergymeasure.energy.idle import IdleWindow
from llenergymeasure.energy.meters.base import NoMeter
from llenergymeasure.energy.phases import Spans
from llenergymeasure.energy.sources import Choice
from llenergymeasure.errors import BackendError
from llenergymeasure.metrics.steady_state import Window
from llenergymeasure.run import harness
from llenergymeasure.run.measurement_window import MeasurementWindow
from llenergymeasure.run.peers import ALONE
from llenergymeasure.run.warmup import Warmup

OPENED_S, CLOSED_S = 98.0, 103.25


def spans_of(group, closed_s=CLOSED_S):
    window = Window("total", *WINDOWS_S[group.index])
    collected = MeasurementWindow(opened_s=OPENED_S, closed_s=closed_s)
    return harness._spans(SimpleNamespace(setup=SimpleNamespace(group=group)), collected, window)


@pytest.mark.parametrize(
    ("group", "gpu_s", "processor_s", "ends_s", "waits_for"),
    [
        (Peer(0, 2, (0,)), (101.0, 103.0), (100.0, 104.0), 104.0, {0, 1}),
        (Peer(1, 2, (1,)), (100.0, 104.0), (100.0, 104.0), 104.0, set()),
        (Peer(0, 3, (0, 2)), (101.0, 106.0), (100.0, 106.0), 106.0, {0, 1, 2}),
        (Peer(0, 4, (0, 2)), (101.0, 106.0), (99.0, 106.0), 106.0, {0, 1, 2, 3}),
        (Peer(1, 4, (1, 3)), (99.0, 105.0), (100.0, 104.0), 105.0, {1, 3}),
        (Peer(1, 4, (1,)), (100.0, 104.0), (100.0, 104.0), 104.0, set()),
        (Peer(0, 3, (0, 1, 2)), (100.0, 106.0), (100.0, 106.0), 106.0, {0, 1, 2}),
    ],
    ids=["0 of 2", "1 of 2", "0 of 3 on 2", "0 of 4 on 2", "1 of 4 on 2", "1 of 4 on 4", "0 of 3 on 1"],
)
def test_what_a_process_meters_for_others_is_of_the_windows_of_those_who_share_it(
    group, gpu_s, processor_s, ends_s, waits_for
):
    found = spans_of(group)
    shared = {kind: found.shared.get(kind, found.own) for kind in ALL}
    assert found.own == WINDOWS_S[group.index]
    assert shared == {"gpu": gpu_s, "cpu": processor_s, "dram": processor_s}
    assert found.recorded == (OPENED_S, ends_s)
    assert set().union(*group.asked) == waits_for


@pytest.mark.parametrize("group", [Peer(2, 4, (0, 2)), Peer(3, 4, (1, 3)), Peer(1, 2, (0, 1)), Peer(0, 1, (0,))])
def test_a_process_that_meters_for_nobody_waits_for_nobody_and_has_its_own_window_alone(group):
    assert spans_of(group) == Spans.alone(WINDOWS_S[group.index], OPENED_S, CLOSED_S)
    assert group.asked == []


def test_what_is_recorded_goes_on_to_the_end_of_the_measurement_where_all_windows_ended_before():
    assert spans_of(Peer(0, 4, (0, 2)), closed_s=107.0).recorded == (OPENED_S, 107.0)


@pytest.mark.parametrize(
    ("group", "others"),
    [
        (ALONE, set()),
        (Peer(0, 4, (0, 2)), set()),
        (Peer(1, 4, (1, 3)), PROCESSOR),
        (Peer(2, 4, (0, 2)), ALL),
        (Peer(3, 4, (1, 3)), ALL),
        (Peer(0, 2, (0,)), set()),
        (Peer(1, 2, (1,)), PROCESSOR),
        (Peer(1, 2, (0, 1)), ALL),
    ],
)
def test_the_processor_is_left_to_the_first_process_and_a_gpu_to_the_first_on_it(group, others):
    assert harness._others_meter(group) == others


def ready(group, gpu=None, left=frozenset()):
    """A process that is about to measure, without a sensor of its own."""
    nobody = IdleWindow(skipped="no baseline: nobody looked")
    choice = Choice(NoMeter(), {}, frozenset(left))
    return harness._Ready(
        setup=harness.Setup("e1", tiny_config(), UserConfig(), group, SimpleNamespace(), choice, "nobody looked"),
        model=model_facts(gpu),
        bare=nobody,
        loaded=nobody,
        warmup=Warmup(None, 0),
        settled=False,
        environment=ENVIRONMENT,
        notes=[],
    )


@pytest.mark.parametrize(
    ("group", "gpu", "left", "metered_by"),
    [
        (Peer(0, 4, (0, 2)), 0, (), None),
        (Peer(1, 4, (1, 3)), 1, PROCESSOR, None),
        (Peer(2, 4, (0, 2)), 0, ALL, 0),
        (Peer(3, 4, (1, 3)), 1, ALL, 1),
        (Peer(3, 4, (1, 3)), 1, PROCESSOR, None),
        (Peer(3, 4, (1, 3)), None, ALL, 0),
        (Peer(1, 2, (1,)), None, PROCESSOR, 0),
        (Peer(1, 2, (0, 1)), None, {"gpu"}, None),
    ],
    ids=[
        "the first of all",
        "the first on its GPU",
        "another on the first GPU",
        "another on the second GPU",
        "no sensor of the GPU",
        "on the CPU beside GPUs",
        "on the CPU beside a GPU of its own",
        "no sensor of the CPU",
    ],
)
def test_a_process_says_who_has_metered_the_devices_that_it_ran_on(group, gpu, left, metered_by):
    collected = MeasurementWindow(opened_s=100.0, closed_s=102.0, batches=[batch(100.0)])
    window = Window("total", 100.0, 102.0)
    found = harness._measurement(ready(group, gpu, left), collected, window, Spans.alone((100.0, 102.0), 100.0, 102.0))
    assert (found.metered_by, found.process_index, found.processes) == (metered_by, group.index, group.size)


@pytest.mark.parametrize("given", ["GPU-0", None, "MIG", "1"])
@pytest.mark.parametrize("ran_on", [0, None])
def test_a_process_that_runs_on_the_gpu_that_it_was_given_or_on_one_of_unknown_name_goes_on(given, ran_on):
    assert prepared(Peer(1, 2, (1,), gpu=given), 4, ran_on=ran_on).model == model_facts(ran_on)


def test_a_process_that_runs_on_another_gpu_than_it_was_given_ends():
    with pytest.raises(BackendError, match=r"process 1 was given GPU-0 and runs on GPU-1"):
        prepared(Peer(1, 2, (1,), gpu="GPU-0"), 4, ran_on=1)


@pytest.mark.parametrize(
    ("group", "prompts", "converges", "settled"),
    [
        (Peer(0, 2, (0,)), 3, True, True),
        (Peer(1, 2, (1,)), 3, True, False),
        (Peer(1, 2, (1,)), 4, True, True),
        (Peer(2, 3, (2,)), 5, True, False),
        (Peer(2, 3, (2,)), 6, True, True),
        (Peer(1, 2, (1,)), 4, False, False),
        (Peer(0, 1, (0,)), 1, True, True),
    ],
)
def test_a_process_has_a_steady_state_if_it_has_settled_and_has_a_full_batch(group, prompts, converges, settled):
    assert prepared(group, prompts, converges).settled == settled
    assert group.agreed_to == [settled]


@pytest.mark.parametrize(
    ("agree", "converges", "notes"),
    [(True, True, []), (False, True, [harness.UNSETTLED_PEER]), (False, False, [])],
    ids=["all have settled", "a peer has not", "it has not itself"],
)
def test_a_process_that_has_settled_beside_one_that_has_not_says_so(agree, converges, notes):
    found = prepared(Peer(0, 2, (0,), agree=agree), 4, converges)
    assert [note for note in found.notes if note == harness.UNSETTLED_PEER] == notes
    assert found.settled == agree


def prepared(group, prompts, converges=True, ran_on=None):
    """A process whose warm-up converges or not, in batches of two, on GPU number `ran_on` or on the CPU."""
    latencies_s = itertools.cycle([0.5] if converges else [0.1, 0.9])
    backend = SimpleNamespace(
        weight_files=lambda: [],
        load=lambda: model_facts(ran_on),
        prepare=lambda requests: [],
        warmup=lambda: (next(latencies_s), 2),
    )
    warmup = {"convergence_detection": True, "window_size": 2, "max_prompts": 4, "thermal_floor_seconds": 0}
    config = tiny_config(num_prompts=prompts, warmup=warmup)
    choice = Choice(NoMeter(), {})
    setup = harness.Setup("e1", config, UserConfig(), group, backend, choice, "nobody looked")
    return harness._prepare(setup, ["a prompt"] * prompts, Silent())
