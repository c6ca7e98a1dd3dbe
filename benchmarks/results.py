"""Saving, listing, asking and comparing at many results, beside MLflow and a plain loop over JSON, as ratios.

    python -m venv build/peers && build/peers/bin/pip install -e '.[sql]' mlflow-skinny sqlalchemy alembic
    build/peers/bin/python benchmarks/results.py [--results 10000] [--saves 200]

MLflow keeps the same figures as metrics and parameters in its SQLite store. The plain loop reads each JSON file and
takes a field from it. Saves are of a result of about 25 KB; ours are synced to the disk, those of the others are not.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _report import machine, pressure

from labledger.documents import sealed
from llenergymeasure import ExperimentResult
from llenergymeasure.domain.experiment import RawProcessResult, RequestColumns
from llenergymeasure.domain.figures import ComputeMetrics, EnergyMetrics, InferenceMetrics, Timestamps
from llenergymeasure.results.catalog import load_results
from llenergymeasure.results.comparison import Group, compare

NOW = datetime(2026, 11, 21, tzinfo=UTC)
REQUESTS = 130
METRICS = ("total_energy_j", "energy_per_output_token_j", "output_tokens_per_second", "avg_tokens_per_second")
QUERY = "select batch_size, avg(energy_per_output_token_j) from results group by all"


def result(number: int) -> ExperimentResult:
    """One result of about 25 KB."""
    figures = [float(n) + number / 7 for n in range(REQUESTS)]
    columns = RequestColumns(
        input_tokens=[512] * REQUESTS,
        output_tokens=[128] * REQUESTS,
        start_s=figures,
        ttft_ms=figures,
        e2e_ms=figures,
        finish_reason=["length"] * REQUESTS,
    )
    process = RawProcessResult(
        experiment_id=f"e{number}",
        process_index=0,
        gpu_id=0,
        config_name=None,
        model_name="gpt2",
        timestamps=Timestamps.from_times(NOW, NOW),
        inference_metrics=InferenceMetrics(
            total_tokens=1,
            input_tokens=1,
            output_tokens=1,
            inference_time_sec=1.0,
            tokens_per_second=1.0,
            latency_per_token_ms=1.0,
        ),
        energy_metrics=EnergyMetrics(total_energy_j=1.0, duration_sec=1.0),
        compute_metrics=ComputeMetrics(flops_total=1.0),
        per_request_latencies_ms=figures,
        requests=columns,
    )
    return ExperimentResult(
        experiment_id=f"e{number}",
        measurement_config_hash=f"{number % 50:016x}",
        measurement_methodology="total",
        total_tokens=1000,
        output_tokens=500,
        total_energy_j=100.0 + number % 97,
        energy_per_output_token_j=0.2 + number % 97 / 500,
        total_inference_time_sec=10.0,
        avg_tokens_per_second=100.0,
        output_tokens_per_second=50.0 + number % 13,
        avg_energy_per_token_j=0.1,
        total_flops=1e12,
        start_time=NOW,
        end_time=NOW,
        effective_config={"model": "gpt2", "batch_size": number % 50},
        process_results=[process],
        verdict="valid",
        energy_source="nvml_counter",
    )


def timed(work: Callable[[], Any]) -> float:
    """The seconds that a call takes."""
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def saves(results: list[ExperimentResult], folder: Path, client: Any) -> None:
    """Durable saves beside MLflow's and a plain write, one of each in turn."""
    ours, plain, theirs = [], [], []
    (folder / "plain").mkdir()
    experiment = client.create_experiment("saves")
    for number, each in enumerate(results):
        ours.append(timed(lambda each=each: each.save(folder / "saves")))
        path = folder / "plain" / f"{number}.json"
        plain.append(timed(lambda each=each, path=path: path.write_text(each.to_json())))
        theirs.append(timed(lambda each=each: log(client, experiment, each)))
    for name, seconds in (("labledger", ours), ("plain write, not synced", plain), ("MLflow", theirs)):
        p99 = statistics.quantiles(seconds, n=100)[98]
        print(f"{name:26} {1 / statistics.fmean(seconds):8.0f} saves/s   p99 {p99 * 1e3:7.1f} ms")
    print(f"saves/s, labledger over MLflow: {sum(theirs) / sum(ours):.2f}")


def log(client: Any, experiment: str, each: ExperimentResult) -> None:
    """Log one run in MLflow: parameters and metrics."""
    from mlflow.entities import Metric, Param

    run = client.create_run(experiment)
    metrics = [Metric(name, getattr(each, name), 0, 0) for name in METRICS]
    parameters = [Param(name, str(value)) for name, value in each.effective_config.items()]
    client.log_batch(run.info.run_id, metrics=metrics, params=parameters)
    client.set_terminated(run.info.run_id)


def fill(count: int, folder: Path, client: Any) -> str:
    """`count` results in our folder (not synced: this is not timed) and in MLflow."""
    experiment = client.create_experiment("many")
    for number in range(count):
        each = result(number)
        place = folder / "many" / f"gpt2_pytorch_2026-11-21T00-00_{number}"
        place.mkdir(parents=True)
        (place / "result.json").write_bytes(sealed(each.to_json(), timeseries_sha256=None))
        log(client, experiment, each)
    size = (place / "result.json").stat().st_size
    print(f"\n{count} results of {size / 1e3:.0f} KB")
    return str(experiment)


def asked(folder: Path, client: Any, experiment: str) -> None:
    """Time list, SQL and compare, each by all three."""
    many = folder / "many"

    def plain() -> list[Any]:
        return [json.loads(path.read_bytes())["total_energy_j"] for path in sorted(many.glob("*/result.json"))]

    def mlflow() -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = client.search_runs([experiment], max_results=1000, page_token=token)
            found += page
            if not (token := page.token):
                return found

    def llem(*arguments: str) -> Callable[[], Any]:
        command = [str(Path(sys.executable).with_name("llem")), "results", *arguments]
        return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    def one_by_one() -> Any:
        found = load_results(many)
        return compare(Group("a", found[::2]), Group("b", found[1::2]))

    others = {"plain loop over JSON": timed(plain), "MLflow, all runs": timed(mlflow)}
    ours = {
        "llem results list": timed(llem("list", str(many))),
        "llem results sql": timed(llem("sql", QUERY, "--dir", str(many))),
        "compare, two groups of all": timed(one_by_one),
    }
    for name, seconds in {**others, **ours}.items():
        ratios = "   ".join(f"{seconds / other:5.2f} x {what}" for what, other in others.items())
        print(f"{name:28} {seconds:7.2f} s   {ratios if name in ours else ''}")


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--saves", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import mlflow

    print(f"{machine()}\npressure: {pressure()}\nMLflow {mlflow.__version__}\n")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
        saves([result(number) for number in range(options.saves)], folder, client)
        asked(folder, client, fill(options.results, folder, client))


if __name__ == "__main__":
    main()
