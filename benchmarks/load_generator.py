"""Requests and streams that one asyncio loop drives, and the error of its clock.

    python benchmarks/load_generator.py [--seconds 10] [--aiperf PATH] [--guidellm PATH] [--repeats 3]

The server is the tests' own, in a process and on a core beside this one; each chunk that it sends holds the time of its
writing, on the clock that this process reads too. The clock error of a token is the time that the client recorded less
that time; of an ITL, the gap that the client recorded less the gap between the two writes, without its sign. Wanted:
1,000 streams at once, 2,000 requests/s, medians under a millisecond.

`--aiperf` and `--guidellm` name the commands of AIPerf and guidellm, each in an environment of its own (`pip install
aiperf`, `pip install guidellm`). Neither reports the text of each chunk, so a second table has each client's TTFT and
ITLs beside the plan's 100 ms and 50 ms: the lateness of the server itself is in all. guidellm reports no single gap,
only the mean ITL of a request, in which the errors of 39 gaps cancel; that mean has a column of its own, for every
client. guidellm's prompts come from a file and its workers are one a core; on two cores it did worse with synthetic
prompts, and with the ten workers it takes unasked. A client that keeps fewer in flight than wanted has an easier
server. The last rows are how many requests per second each sends, 64 in flight, to a server that answers at once.
"""

import argparse
import asyncio
import contextlib
import functools
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _report import machine, pressure

from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.records import ServedRequest
from llenergymeasure.backends.openai.client.request_body import RequestBody, RequestTemplate
from llenergymeasure.backends.openai.load.arrivals import ClosedLoop, OpenLoop, StopRule
from llenergymeasure.backends.openai.load.driver import LoadSpan, drive
from llenergymeasure.domain.requests import Request

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "standins"))
from streaming_server import StreamingServer, written_s

CHAT = {"ttft_s": 0.1, "itl_s": 0.05, "tokens": 40}
SHORT = {"ttft_s": 0.02, "itl_s": 0.01, "tokens": 3}
AT_ONCE = {"tokens": 1}
PROMPT = "A prompt of a few words."
COMPARED = ((CHAT, 1, 5), (CHAT, 100, 400), (CHAT, 1000, 3000), (AT_ONCE, 64, 6000))


class Load(NamedTuple):
    """One line of the table. `spread_s`: how much later the last first token may be, evenly from none."""

    name: str
    plan: dict[str, Any]
    strategy: ClosedLoop | OpenLoop
    spread_s: float = 0.0


LOADS = [
    *(Load(f"{n:,} in flight, 40 tokens 50 ms apart", CHAT, ClosedLoop(n), spread_s=2.0) for n in (1, 100, 1000)),
    Load("1,000 in flight, all in step as of one batch", CHAT, ClosedLoop(1000)),
    Load("500 requests/s, Poisson, 3 tokens", SHORT, OpenLoop(500.0)),
    Load("2,000 requests/s, Poisson, 3 tokens", SHORT, OpenLoop(2000.0)),
    Load("as fast as it goes: 64 in flight, 1 token", AT_ONCE, ClosedLoop(64)),
]


class Measured(NamedTuple):
    """A load's records, and what it cost."""

    served: list[ServedRequest]
    span: LoadSpan
    client_cores: float
    server_cores: float
    waiting: float


def cpu_s(pid: int) -> float:
    """CPU seconds of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_s() -> float:
    """Seconds that this process could have run and had no core, which others had."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


async def measure(server: StreamingServer, load: Load, seconds: float) -> Measured:
    """Run one load, after a second of the same as a warm-up."""
    bodies = itertools.cycle([request_body(server, load, number / 1000) for number in range(1000)])
    template = RequestTemplate(server.url, "stand-in")
    served: list[ServedRequest] = []
    async with Client(template) as client:
        await drive(client, bodies, load.strategy, StopRule(duration_s=1.0), lambda _: None)
        before, server_before, waited_before_s = time.process_time(), cpu_s(server.pid), waited_s()
        span = await drive(client, bodies, load.strategy, StopRule(duration_s=seconds), served.append)
        took_s = span.drained_s - span.opened_s
        client_cores = (time.process_time() - before) / took_s
        server_cores = (cpu_s(server.pid) - server_before) / took_s
        return Measured(served, span, client_cores, server_cores, (waited_s() - waited_before_s) / took_s)


def request_body(server: StreamingServer, load: Load, share: float) -> RequestBody:
    """A request that is answered as the load has it, with its share of the spread."""
    plan = load.plan | {"ttft_s": load.plan.get("ttft_s", 0.0) + share * load.spread_s}
    template = RequestTemplate(server.url, "stand-in", extra_body={"standin": plan})
    return template.encode(Request(0, PROMPT, None, load.plan["tokens"]))


def quantiles_us(values: Sequence[float]) -> str:
    """Median, p90 and p99 in microseconds."""
    if not len(values):
        return "-"
    return " / ".join(f"{value * 1e6:.0f}" for value in np.percentile(values, [50, 90, 99]))


def row(name: str, measured: Measured) -> str:
    """A line of the table."""
    whole = [each for each in measured.served if each.failure is None]
    first, gaps = [], []
    for each in whole:
        written = np.array([written_s(text)[0] for text in each.answer.chunk_texts])
        times = np.array(each.answer.chunk_times_s)
        first.append(times[0] - written[0])
        gaps.extend(np.abs(np.diff(times) - np.diff(written)))
    took_s = measured.span.drained_s - measured.span.opened_s
    in_flight = sum(each.end_s - each.sent_s for each in measured.served) / took_s
    chunks = sum(len(each.answer.chunk_times_s) for each in whole)
    late = quantiles_us([each.lateness_s for each in measured.served])
    return (
        f"| {name} | {len(whole) / took_s:.1f} | {in_flight:.0f} | {chunks / took_s:.0f} | {quantiles_us(first)} | "
        f"{quantiles_us(gaps)} | {late} | {measured.client_cores:.2f} | {measured.server_cores:.2f} | "
        f"{measured.waiting:.2f} | {len(measured.served) - len(whole)} |"
    )


class Seen(NamedTuple):
    """A client's figures of a load, in seconds.

    `spans_s` are the starts and ends of the requests. `gaps_s` is empty where the client reports only the mean of
    each request's.
    """

    ttfts_s: Sequence[float]
    gaps_s: Sequence[float]
    mean_itls_s: Sequence[float]
    spans_s: Sequence[tuple[float, float]]

    def loads(self) -> tuple[float, float]:
        """Requests in flight in the mean, and requests per second, from the first start to the last end."""
        began_s, ended_s = np.array(self.spans_s).T
        took_s = ended_s.max() - began_s.min()
        return float((ended_s - began_s).sum() / took_s), len(self.spans_s) / took_s

    def errors_us(self) -> list[np.ndarray]:
        """Return how far TTFTs, gaps and mean ITLs are from the plan's."""
        planned = ((self.ttfts_s, CHAT["ttft_s"]), (self.gaps_s, CHAT["itl_s"]), (self.mean_itls_s, CHAT["itl_s"]))
        return [np.abs(np.array(said) - plan) * 1e6 for said, plan in planned]


def seen(ttfts_s: Sequence[float], gaps_s: Sequence[Sequence[float]], spans_s: Sequence[tuple[float, float]]) -> Seen:
    """Return the errors of a client that reports each request's gaps."""
    streams = [gaps for gaps in gaps_s if len(gaps)]
    return Seen(ttfts_s, list(itertools.chain(*streams)), [float(np.mean(gaps)) for gaps in streams], spans_s)


def tokenizer_cache(folder: Path) -> str:
    """A tokenizer made here, as a hub's cache in this folder; its name there."""
    from llenergymeasure.backends.pytorch.random_llama import build_tokenizer
    from llenergymeasure.workload.prompts import builtin_text

    revision, model = "0" * 40, folder / "hub" / "models--local--tokenizer"
    build_tokenizer(builtin_text(), 2048).save_pretrained(model / "snapshots" / revision)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(revision)
    return "local/tokenizer"


def aiperf(command: str, server: StreamingServer, plan: dict[str, Any], concurrency: int, requests: int) -> Seen:
    """A closed loop by AIPerf."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = {
            "--model": "stand-in",
            "--url": server.root,
            "--endpoint-type": "chat",
            "--concurrency": concurrency,
            "--request-count": requests,
            "--tokenizer": tokenizer_cache(folder),
            "--synthetic-input-tokens-mean": 16,
            "--num-dataset-entries": 100,
            "--ui": "none",
            "--output-artifact-dir": folder / "out",
            "--extra-inputs": json.dumps({"standin": plan}),
        }
        subprocess.run(
            [command, "profile", "--streaming", *(str(part) for pair in arguments.items() for part in pair)],
            env={**os.environ, "HF_HOME": name, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
            check=True,
            capture_output=True,
        )
        lines = [json.loads(line) for line in (folder / "out" / "profile_export.jsonl").read_text().splitlines()]
    found = [each["metrics"] for each in lines]
    spans_ns = [(each["metadata"]["request_start_ns"], each["metadata"]["request_end_ns"]) for each in lines]
    return seen(
        [each["time_to_first_token"]["value"] / 1e3 for each in found if "time_to_first_token" in each],
        [np.array(each["inter_chunk_latency"]["value"]) / 1e3 for each in found if "inter_chunk_latency" in each],
        [(began_ns / 1e9, ended_ns / 1e9) for began_ns, ended_ns in spans_ns],
    )


def guidellm(command: str, server: StreamingServer, plan: dict[str, Any], concurrency: int, requests: int) -> Seen:
    """A closed loop by guidellm."""
    with tempfile.TemporaryDirectory() as name:
        prompts, report = Path(name) / "prompts.jsonl", Path(name) / "report.json"
        prompts.write_text((json.dumps({"prompt": PROMPT}) + "\n") * requests)
        arguments = {
            "--backend": {
                "kind": "openai_http",
                "target": server.root,
                "model": "stand-in",
                "request_format": "/v1/chat/completions",
                "validate_backend": False,
                "extras": {"body": {"standin": plan}},
            },
            "--profile": {"kind": "concurrent", "streams": concurrency},
            "--constraint": {"kind": "max_requests", "count": requests},
            "--data": {"kind": "json_file", "path": str(prompts)},
            "--output": {"kind": "json", "path": str(report)},
        }
        workers = str(len(os.sched_getaffinity(0)))
        subprocess.run(
            [command, "run", "--disable-console"]
            + [part for option, value in arguments.items() for part in (option, json.dumps(value))],
            env={**os.environ, "HF_HOME": name, "HF_HUB_OFFLINE": "1", "GUIDELLM__MAX_WORKER_PROCESSES": workers},
            check=True,
            capture_output=True,
        )
        found = json.loads(report.read_text())["benchmarks"][0]["requests"]["successful"]
    return Seen(
        [each["time_to_first_token_ms"] / 1e3 for each in found],
        [],
        [each["inter_token_latency_ms"] / 1e3 for each in found if each["inter_token_latency_ms"] is not None],
        [(each["request_start_time"], each["request_end_time"]) for each in found],
    )


def ours(server: StreamingServer, plan: dict[str, Any], concurrency: int, requests: int) -> Seen:
    """The same by this project's client."""
    served: list[ServedRequest] = []
    asyncio.run(send_so_many(server, plan, concurrency, requests, served.append))
    gaps = [np.diff(each.answer.chunk_times_s) for each in served if each.failure is None]
    ttfts_s = [each.ttft_s for each in served if each.ttft_s is not None]
    return seen(ttfts_s, gaps, [(each.sent_s, each.end_s) for each in served])


PEERS = {"AIPerf": aiperf, "guidellm": guidellm}


def compare(commands: dict[str, str], repeats: int) -> None:
    """The peers of these commands and our client, in turns against the same server; of their figures, the median."""
    print(f"\nbeside {', '.join(f'{name} {version(command)}' for name, command in commands.items())}, ", end="")
    print(f"{repeats} times in turns; errors against the plan in us, median / p90 / p99\n")
    errors_of = "error of TTFT | error of ITL | error of mean ITL"
    print(f"| wanted in flight | requests | client | in flight | requests/s | {errors_of} |")
    print("|---|---|---|---|---|---|---|---|")
    clients = {name: functools.partial(PEERS[name], command) for name, command in commands.items()} | {"ours": ours}
    for plan, concurrency, requests in COMPARED:
        figures: dict[str, list[Seen]] = {name: [] for name in clients}
        for _ in range(repeats):
            for name, client in clients.items():
                with StreamingServer() as server:
                    figures[name].append(client(server, plan, concurrency, requests))
        medians = {}
        for name, runs in figures.items():
            held, rate = np.median([run.loads() for run in runs], axis=0)
            errors = [np.concatenate(each) for each in zip(*(run.errors_us() for run in runs), strict=True)]
            shown = [quantiles_us(each / 1e6) if plan is CHAT else "-" for each in errors]
            medians[name] = [held, rate, *(np.median(each) if len(each) else math.nan for each in errors)]
            line = f"| {concurrency} | {requests} | {name} | {held:.0f} | {rate:.1f} | {' | '.join(shown)} |"
            print(line, flush=True)
        for name in commands:
            ratios = [theirs / own for theirs, own in zip(medians[name], medians["ours"], strict=True)]
            wanted = ratios if plan is CHAT else [*ratios[:2], math.nan, math.nan, math.nan]
            shown = ["-" if math.isnan(ratio) else f"{ratio:.2f}" for ratio in wanted]
            print(f"| {concurrency} | | {name} / ours | {' | '.join(shown)} |", flush=True)


def version(command: str) -> str:
    """Return the version that the command prints."""
    return subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


async def send_so_many(
    server: StreamingServer,
    plan: dict[str, Any],
    concurrency: int,
    requests: int,
    finished: Callable[[ServedRequest], None],
) -> None:
    """The closed loop in step, from cold."""
    load = Load("", plan, ClosedLoop(concurrency))
    bodies = itertools.repeat(request_body(server, load, 0.0))
    async with Client(RequestTemplate(server.url, "stand-in")) as client:
        await drive(client, bodies, load.strategy, StopRule(requests=requests), finished)


@contextlib.contextmanager
def a_core_each(server: StreamingServer) -> Iterator[None]:
    """This process and the server on two cores: the scheduler likes to put the two ends of a connection on one."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    os.sched_setaffinity(server.pid, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def main() -> None:
    """Measure each load and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--aiperf")
    parser.add_argument("--guidellm")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"python {' '.join(sys.argv)}\n{machine()}\npressure before: {pressure()}\n")
    print("us are median / p90 / p99\n")
    print(
        "| load | requests/s | in flight | chunks/s | error of TTFT, us | error of ITL, us | lateness, us "
        "| client cores | server cores | waiting for a core | failed |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with StreamingServer() as server, a_core_each(server):
        for load in LOADS:
            print(row(load.name, asyncio.run(measure(server, load, arguments.seconds))), flush=True)
    commands = {"AIPerf": arguments.aiperf, "guidellm": arguments.guidellm}
    if any(commands.values()):
        compare({name: command for name, command in commands.items() if command}, arguments.repeats)
    print(f"\npressure after: {pressure()}")


if __name__ == "__main__":
    main()
