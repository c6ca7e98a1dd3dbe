"""Load searches on a queue that is computed: one server, requests in the order in which they came."""

import itertools
from datetime import timedelta

from compared_runs import APART_S, BEGAN, WINDOW_S, one_run

from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.figures import Timestamps
from llenergymeasure.domain.request_columns import FailedRequestColumns, RequestColumns
from llenergymeasure.domain.study import StudyCell, StudyManifest, StudyRun
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.study.load_search import first_step, next_step
from small_result import make_raw_result


def search_config(goal="ttft_ms_p99 <= 500", between=(1, 64), **search):
    """The configuration of a server with a load search."""
    load = {"search": {"goal": goal, "between": list(between), **search}}
    return ExperimentConfig.model_validate({"model": "m", "backend": "openai", "load": load, "num_prompts": 2000})


def run_at(load, ttft_ms=80.0, *, metric="request_rate", energy_j=100.0, requests=None, failed=None, **changes):
    """The result of a run at this load; `requests` are start and end of each in seconds."""
    fields = {
        "effective_config": {
            "model": "m",
            "backend": "openai",
            "load": {metric: int(load) if metric == "concurrency" else float(load)},
        }
    }
    if requests is not None:
        columns = RequestColumns(
            start_s=[start_s for start_s, _ in requests],
            e2e_ms=[1e3 * (end_s - start_s) for start_s, end_s in requests],
        )
        process = make_raw_result("x").model_dump() | {
            "requests": columns,
            "timestamps": Timestamps.from_times(BEGAN, BEGAN),
        }
        if failed is not None:
            process["failed_requests"] = FailedRequestColumns(
                start_s=[0.0] * failed, end_s=[1.0] * failed, kind=["timeout"] * failed, message=["late"] * failed
            )
            fields["request_failures"] = {"timeout": failed}
        fields["process_results"] = [RawProcessResult(**process)]
    return one_run(f"at {load}", energy_j, ttft_ms=ttft_ms, **fields | changes)


def served(rate, capacity, count=200, answer_s=0.05, draw=None):
    """Start and end of requests at a server that begins `capacity` a second; they come at a constant rate, or drawn."""
    start_s, free_s, spans = 0.0, 0.0, []
    for _ in range(count):
        free_s = max(free_s, start_s) + 1 / capacity
        spans.append((start_s, free_s + answer_s))
        start_s += 1 / rate if draw is None else draw.expovariate(rate)
    return spans


def queue_run(rate, capacity, **changes):
    """The result of a run on that server; its time to the first token is what a request waits for."""
    spans = served(rate, capacity)
    longest_ms = 1e3 * max(end_s - start_s for start_s, end_s in spans)
    return run_at(rate, longest_ms, requests=spans, **changes)


def searched(config, measure, round_number=1):
    """The runs of one round with their results; `measure(load)` gives the result, or None where the run fails."""
    steps = []
    run = first_step(config, StudyRun(cell=0, round_number=round_number))
    while run is not None:
        result = measure(run.searched)
        found = {"state": "failed", "error": "no server"} if result is None else {"state": "done"}
        steps.append((run.model_copy(update=found), result))
        run = next_step(config, steps)
    return steps


def study_of(config, rounds):
    """The stored runs of a study with one cell, of the steps of its rounds, one after another."""
    steps = [(run, later(result, n)) for n, (run, result) in enumerate(itertools.chain.from_iterable(rounds))]
    cell = StudyCell(name="base", changes={}, config_hash="0" * 16, config=config.in_effect())
    runs = [run for run, _ in steps]
    return StudyRuns(
        StudyManifest(study_name="s", settings={}, cells=[cell], runs=runs), [result for _, result in steps]
    )


def later(result, number):
    """The same result of a run that came after so many others."""
    if result is None:
        return None
    start = result.start_time + number * timedelta(seconds=APART_S)
    update = {"start_time": start, "end_time": start + timedelta(seconds=WINDOW_S)}
    return result.model_copy(update=update | {"experiment_id": f"{result.experiment_id}-{number}"})
