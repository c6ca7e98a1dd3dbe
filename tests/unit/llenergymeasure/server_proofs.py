"""A proof for each field of a configuration that reaches the server, its requests or its load."""

import inspect
import itertools
import json
import socket
import statistics
import sys
import textwrap
import time

import pytest
from searched_runs import run_at, search_config, searched

from llenergymeasure.api import run_experiment
from llenergymeasure.backends.openai.load.arrivals import OpenLoop
from llenergymeasure.errors import BackendError
from llenergymeasure.study.load_search import config_of
from standins import streaming_server
from standins.recording_server import RecordingServer
from standins.streaming_server import StreamingServer

KEY = "sk-a-key"
GOOD = {"tokens": 2}

SERVES = """
import json, runpy, sys
open(TOLD, "w").write(json.dumps(sys.argv))
if "--port" in sys.argv:
    sys.argv = [sys.argv[0], sys.argv[sys.argv.index("--port") + 1]]
sys.argv = [sys.argv[0], sys.argv[-1]]
runpy.run_path(SERVER, run_name="__main__")
"""


def measured(url, **changes):
    """The result of a run whose energy nobody reads."""
    fields = {
        "model": "a-model",
        "backend": "openai",
        "num_prompts": 3,
        "max_output_tokens": 8,
        "energy": {"source": "none"},
        "warmup": {"iterations": 0},
    }
    fields |= {"openai": {"base_url": url, **changes.pop("openai", {})}}
    return run_experiment(**fields | changes)


def asked(latency_s=0.0, **changes):
    """Return the requests that a server got in a run."""
    with RecordingServer(latency_s) as server:
        measured(server.url, **changes)
    return server.asked


def bodies(**changes):
    found = [each.body for each in asked(**changes)]
    assert len(found) == 3
    return found


def with_plans(tmp_path, *plans, **changes):
    """The result of a run with a prompt for each plan of the server's answers."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"plan={number}"}) + "\n" for number in range(len(plans))))
    with StreamingServer() as server:
        return measured(
            server.url,
            dataset=str(path),
            num_prompts=len(plans),
            passthrough_kwargs={"standin": list(plans)},
            **changes,
        )


def proves_base_url(tmp_path, monkeypatch):
    with RecordingServer() as here, RecordingServer() as there:
        measured(f"{here.url}/deeper/")
    assert {each.path for each in here.asked} == {"/v1/deeper/chat/completions"}
    assert there.asked == []


def proves_model(tmp_path, monkeypatch):
    assert {body["model"] for body in bodies()} == {"a-model"}
    assert {body["model"] for body in bodies(openai={"model": "its-name"})} == {"its-name"}


def proves_api_key(tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    with_key, without = asked(openai={"api_key_env": "THE_KEY"}), asked()
    assert {each.headers.get("Authorization") for each in with_key} == {f"Bearer {KEY}"}
    assert {each.headers.get("Authorization") for each in without} == {None}


def proves_endpoint(tmp_path, monkeypatch):
    chat, completions = asked(openai={"endpoint": "chat"}), asked(openai={"endpoint": "completions"})
    assert {each.path for each in chat} == {"/v1/chat/completions"}
    assert {each.path for each in completions} == {"/v1/completions"}
    assert [each.body["messages"] for each in chat] == [
        [{"role": "user", "content": each.body["prompt"]}] for each in completions
    ]


def proves_limit_field(tmp_path, monkeypatch):
    for name, other in itertools.permutations(["max_tokens", "max_completion_tokens"]):
        assert {(body[name], body.get(other)) for body in bodies(openai={"limit_field": name})} == {(8, None)}


def proves_timeout(tmp_path, monkeypatch):
    slow = {"itl_s": 0.02, "tokens": 1000}  # there is always a next byte
    result = with_plans(tmp_path, GOOD, slow, openai={"timeout_s": 0.4})
    assert result.request_failures == {"timeout": 1}
    (message,) = result.process_results[0].failed_requests.message
    assert message == "no whole answer within 0.4 s"


def proves_stall(tmp_path, monkeypatch):
    result = with_plans(tmp_path, GOOD, {"stop_after": 2, "ending": "hang"}, openai={"stall_s": 0.4})
    assert result.request_failures == {"stalled": 1}
    (message,) = result.process_results[0].failed_requests.message
    assert message == "no byte for 0.4 s"


def most_at_once(requests):
    steps = [(each.came_s, 1) for each in requests] + [(each.answered_s, -1) for each in requests]
    return max(itertools.accumulate(step for _, step in sorted(steps)))


def proves_concurrency(tmp_path, monkeypatch):
    assert most_at_once(asked(0.05)) == 1
    assert most_at_once(asked(0.05, num_prompts=12, load={"concurrency": 4})) == 4


def apart_s(requests, due_s):
    """Return how unevenly requests came after they were due; a few that the machine holds up do not matter."""
    late_s = [each.came_s - due for each, due in zip(requests, due_s, strict=True)]
    middle_s = statistics.median(late_s)
    return statistics.median(abs(each - middle_s) for each in late_s)


def proves_request_rate(tmp_path, monkeypatch):
    for rate in (40.0, 100.0):
        until_s, gap_s = time.monotonic() + 60.0, None
        while gap_s != pytest.approx(1 / rate, rel=0.5) and time.monotonic() < until_s:  # a busy machine holds some up
            requests = asked(0.3, num_prompts=30, load={"request_rate": rate, "arrival": "constant"})
            gaps_s = [after.came_s - before.came_s for before, after in itertools.pairwise(requests)]
            gap_s = statistics.mean(gaps_s)
        assert gap_s == pytest.approx(1 / rate, rel=0.5)
        assert most_at_once(requests) > 5  # nobody waits for answers


def proves_arrival(tmp_path, monkeypatch):
    plans = {
        (arrival, seed): list(itertools.islice(OpenLoop(30.0, arrival, seed).due_times_s(), 25))
        for arrival, seed in [("constant", 7), ("poisson", 7), ("poisson", 42)]
    }
    for arrival in ("constant", "poisson"):
        requests = asked(num_prompts=25, load={"request_rate": 30.0, "arrival": arrival}, random_seed=7)
        assert min(plans, key=lambda plan: apart_s(requests, plans[plan])) == (arrival, 7)


def proves_duration(tmp_path, monkeypatch):
    with RecordingServer(0.02) as server:
        result = measured(server.url, num_prompts=100, load={"duration_s": 0.5})
    assert result.total_inference_time_sec == pytest.approx(0.5)
    assert 5 < len(server.asked) <= 26
    assert server.asked[-1].came_s - server.asked[0].came_s <= 0.55


def proves_drain(tmp_path, monkeypatch):
    slow, load = {"ttft_s": 0.8, "tokens": 2}, {"concurrency": 2, "duration_s": 0.2}
    short = with_plans(tmp_path, GOOD, slow, load={**load, "drain_s": 0.1})
    long = with_plans(tmp_path, GOOD, slow, load={**load, "drain_s": 20.0})
    assert (short.request_failures, long.request_failures) == ({"cancelled": 1}, {})


def loads_of_search(**search):
    """Return the configurations of the steps of a search on a server that answers in time up to 10 at a time."""

    def measure(load):
        return run_at(load, 100.0 if load <= 10 else 900.0)

    config = search_config(**search)
    return [config_of(config, run).load for run, _ in searched(config, measure)]


def proves_search_metric(tmp_path, monkeypatch):
    assert {load.request_rate for load in loads_of_search(metric="concurrency")} == {None}
    assert loads_of_search(metric="concurrency")[1].concurrency == 64
    assert loads_of_search(metric="request_rate")[1].request_rate == 64.0


def proves_search_goal(tmp_path, monkeypatch):
    assert [load.request_rate for load in loads_of_search(goal="ttft_ms_p99 <= 50")] == [1.0]
    assert [load.request_rate for load in loads_of_search(goal="ttft_ms_p99 <= 1000")] == [1.0, 64.0]


def proves_search_between(tmp_path, monkeypatch):
    assert [load.request_rate for load in loads_of_search(between=(2, 32))][:3] == [2.0, 32.0, 8.0]


def proves_search_tolerance(tmp_path, monkeypatch):
    assert len(loads_of_search(tolerance=1)) > len(loads_of_search(tolerance="20%"))


class Launched:
    """A program that writes down how it was started, and serves."""

    def __init__(self, folder, name="server"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._written = folder / "arguments.json"
        self.program = folder / name
        constants = f"TOLD, SERVER = {str(self._written)!r}, {inspect.getfile(streaming_server)!r}\n"
        self.program.write_text(f"#!{sys.executable}\n{constants}{textwrap.dedent(SERVES)}")
        self.program.chmod(0o755)

    @property
    def arguments(self):
        """Return the arguments that it was started with."""
        return json.loads(self._written.read_text())[1:]


def proves_command(tmp_path, monkeypatch):
    server = Launched(tmp_path)
    command = [sys.executable, str(server.program), "{model}", "as it is", "{host}", "{port}"]
    result = measured(server.url, launch={"command": command})
    assert result.output_tokens == 3 * 8
    assert server.arguments == ["a-model", "as it is", "127.0.0.1", str(server.port)]


def preset_arguments(tmp_path, monkeypatch, **launch):
    """Return the arguments that vLLM's own program was given."""
    server = Launched(tmp_path, "vllm")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    measured(server.url, launch={"preset": "vllm", **launch})
    here = server.arguments.index("--host")
    assert server.arguments[:2] == ["serve", "a-model"]
    assert server.arguments[here : here + 4] == ["--host", "127.0.0.1", "--port", str(server.port)]
    return [*server.arguments[2:here], *server.arguments[here + 4 :]]


def proves_preset(tmp_path, monkeypatch):
    given = ["--generation-config", "vllm", "--served-model-name", "a-model", "--dtype", "bfloat16", "--seed", "42"]
    assert preset_arguments(tmp_path, monkeypatch) == given


def proves_flags(tmp_path, monkeypatch):
    given = preset_arguments(tmp_path, monkeypatch, flags={"max-model-len": 4096, "enforce-eager": True})
    assert given[-3:] == ["--max-model-len", "4096", "--enforce-eager"]


def proves_ready_timeout(tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    never = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    with pytest.raises(BackendError, match=r"did not answer at .* within 0\.3 s"):
        measured(url, launch={"command": never, "ready_timeout_s": 0.3})


PROOFS = {
    "openai.base_url": proves_base_url,
    "openai.model": proves_model,
    "openai.api_key_env": proves_api_key,
    "openai.endpoint": proves_endpoint,
    "openai.limit_field": proves_limit_field,
    "openai.timeout_s": proves_timeout,
    "openai.stall_s": proves_stall,
    "launch.command": proves_command,
    "launch.preset": proves_preset,
    "launch.flags": proves_flags,
    "launch.ready_timeout_s": proves_ready_timeout,
    "load.concurrency": proves_concurrency,
    "load.request_rate": proves_request_rate,
    "load.arrival": proves_arrival,
    "load.duration_s": proves_duration,
    "load.drain_s": proves_drain,
    "load.search.metric": proves_search_metric,
    "load.search.goal": proves_search_goal,
    "load.search.between": proves_search_between,
    "load.search.tolerance": proves_search_tolerance,
}
