"""The same sweep by vLLM's sweep script, AIPerf's and ours, of one local server: time, requests, and what is left.

    python benchmarks/sweeps.py [--vllm PATH] [--aiperf PATH] [--repeats 3] [--requests 16] [--kill]

`--vllm` and `--aiperf` name their commands, each in an environment of its own; one that is not named is left out. The
server is `transformers serve` with a small Llama of random weights on the CPU, one for all, and warm before the first.
All send the same prompts in the same order, greedy, for answers of equal length, with 1, 2 and 4 requests in flight,
each `--repeats` times. vLLM's script starts a server of its own, once for a set of its flags; here it starts a
`sleep` of an hour, which a kill leaves behind, and its runs are pointed to the server that is there. The time is of the
whole command, its start included.

With `--kill` every sweep is killed, all its processes at once, when half of its requests are answered, and the same
command (with the flag to resume, where there is one) is started again: the second line has what that start cost.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from _report import machine, pressure

IN_FLIGHT = (1, 2, 4)
ANSWER_TOKENS = 16
LONGEST_PROMPT = 64
READY_S = 300.0
CACHE = ("--cb-block-size", "32", "--cb-num-blocks", "128", "--cb-max-batch-tokens", "512")  # else most of the memory
SHAPE = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 4}


class Sweep(NamedTuple):
    """What each tool is told."""

    inputs: Path
    place: Path
    url: str
    requests: int
    repeats: int

    @property
    def model(self) -> Path:
        """The model's folder, which is its name at the server, too."""
        return self.inputs / "model"


class Server(NamedTuple):
    """A server that runs."""

    url: str
    log: Path

    def answered(self) -> int:
        """Return how many requests it has answered."""
        return self.log.read_text(errors="replace").count('completions HTTP/1.1" 200')


def save_model(folder: Path) -> None:
    """Save a model that never ends by itself."""
    import torch

    from llenergymeasure.backends.pytorch.random_llama import build_model, build_tokenizer
    from llenergymeasure.config.models import RandomModelConfig
    from llenergymeasure.workload.prompts import builtin_text

    tokenizer = build_tokenizer(builtin_text(), 2048)
    shape = RandomModelConfig(**SHAPE, vocab_size=2048)
    model = build_model(shape, tokenizer, seed=1, device="cpu", dtype=torch.float32, attention="sdpa")
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_prompts(folder: Path, model: Path, count: int) -> None:
    """Save the built-in short prompts in the files of each."""
    from transformers import AutoTokenizer

    from llenergymeasure.workload.prompts import builtin_text

    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = [json.loads(line)["prompt"] for line in builtin_text().splitlines()]
    short = [text for text in texts if len(tokenizer(text).input_ids) <= LONGEST_PROMPT][:count]
    for name, key in (("prompts.jsonl", "prompt"), ("texts.jsonl", "text")):
        (folder / name).write_text("".join(json.dumps({key: text}) + "\n" for text in short))


@contextlib.contextmanager
def served(folder: Path, port: int) -> Iterator[Server]:
    """Run the server, once it has answered a request."""
    log = folder / "server.log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder / "model")]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--continuous-batching", *CACHE, "--device", "cpu", "--port", str(port)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_answer(f"http://localhost:{port}/v1/chat/completions", str(folder / "model"))
        yield Server(f"http://localhost:{port}", log)
    finally:
        process.terminate()
        process.wait()


def wait_for_answer(url: str, model: str) -> None:
    """Ask until there is an answer: the first loads the model's code."""
    import httpx

    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    ends_s = time.monotonic() + READY_S
    while time.monotonic() < ends_s:
        with contextlib.suppress(httpx.TransportError):
            httpx.post(url, json=body, timeout=READY_S).raise_for_status()
            return
        time.sleep(0.5)
    raise SystemExit(f"no answer at {url} in {READY_S:.0f} s")


def ours(_: str, sweep: Sweep, *, again: bool) -> list[str]:
    """Return our command."""
    study = {
        "study": {"repeats": sweep.repeats},
        "sweep": {"load.concurrency": list(IN_FLIGHT)},
        "model": str(sweep.model),
        "backend": "openai",
        "openai": {"base_url": f"{sweep.url}/v1"},
        "dataset": str(sweep.inputs / "prompts.jsonl"),
        "num_prompts": sweep.requests,
        "max_output_tokens": ANSWER_TOKENS,
        "warmup": {"iterations": 1},
        "baseline": {"enabled": False},
    }
    (sweep.place / "study.yaml").write_text(json.dumps(study))
    return [str(Path(sys.executable).with_name("llem")), "run", "study.yaml", *(["--resume"] if again else [])]


def vllm(command: str, sweep: Sweep, *, again: bool) -> list[str]:
    """Return vLLM's command."""
    (sweep.place / "bench.json").write_text(json.dumps([{"max_concurrency": each} for each in IN_FLIGHT]))
    bench = (
        f"{command} bench serve --backend openai-chat --base-url {sweep.url} --endpoint /v1/chat/completions "
        f"--model {sweep.model} --dataset-name custom --dataset-path {sweep.inputs / 'prompts.jsonl'} "
        f"--custom-output-len {ANSWER_TOKENS} --num-prompts {sweep.requests} --num-warmups 2 --temperature 0 "
        "--disable-shuffle --skip-chat-template"
    )
    waits = f"sh -c 'exec sleep 3600' sh --port {sweep.url.rpartition(':')[2]}"
    arguments = ["--serve-cmd", waits, "--after-bench-cmd", "true", "--bench-cmd", bench]
    arguments += ["--bench-params", "bench.json", "--num-runs", str(sweep.repeats), "-e", "sweep", "-o", "results"]
    return [command, "bench", "sweep", "serve", *arguments, *(["--resume"] if again else [])]


def aiperf(command: str, sweep: Sweep, *, again: bool) -> list[str]:
    """Return AIPerf's command, which has no flag to resume."""
    arguments = {
        "--model": sweep.model,
        "--url": sweep.url,
        "--endpoint-type": "chat",
        "--concurrency": ",".join(map(str, IN_FLIGHT)),
        "--num-profile-runs": sweep.repeats,
        "--request-count": sweep.requests,
        "--warmup-request-count": 2,
        "--input-file": sweep.inputs / "texts.jsonl",
        "--custom-dataset-type": "single-turn",
        "--tokenizer": sweep.model,
        "--extra-inputs": json.dumps({"max_tokens": ANSWER_TOKENS, "temperature": 0}),
        "--ui": "none",
        "--output-artifact-dir": "results",
    }
    flags = ["--streaming", "--use-server-token-count"]
    return [command, "profile", *flags, *(str(part) for pair in arguments.items() for part in pair)]


TOOLS: dict[str, Callable[..., list[str]]] = {"ours": ours, "vLLM": vllm, "AIPerf": aiperf}


def run(command: Sequence[str], folder: Path, server: Server, ends_at: float) -> float:
    """Run a command in a folder, killed once the server has answered so many requests in all; return its seconds."""
    began_s = time.monotonic()
    # AIPerf looks for a tokenizer's folder at the hub where that is said to be out of reach.
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    with (folder / "output.txt").open("a") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        while process.poll() is None:
            if ends_at < math.inf and server.answered() >= ends_at:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.1)
    return time.monotonic() - began_s


def measure(tool: str, command: str, sweep: Sweep, server: Server, *, is_killed: bool) -> None:
    """Run a tool's sweep and print its line, or the two of one that is killed."""
    half = sweep.requests * sweep.repeats * len(IN_FLIGHT) // 2
    for again in (False, True) if is_killed else (False,):
        before, stops = server.answered(), is_killed and not again
        ends_at = before + half if stops else math.inf
        told = TOOLS[tool](command, sweep, again=again)
        took_s = run(told, sweep.place, server, ends_at)
        which = tool + ", killed" * stops + ", again" * again
        print(line(which, took_s, server.answered() - before, sweep.place / "results"), flush=True)


def line(name: str, took_s: float, answers: int, left: Path) -> str:
    """A line of the table."""
    files = [each for each in left.rglob("*") if each.is_file()]
    size_kb = sum(each.stat().st_size for each in files) / 1e3
    return f"| {name} | {took_s:.0f} | {answers} | {len(files)} | {size_kb:.0f} |"


def version(command: str, package: str) -> str:
    """Return the version of the package that a command is of."""
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    python = Path(command).with_name("python")
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Run and print the table, and what each tool printed last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm")
    parser.add_argument("--aiperf")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--port", type=int, default=8433)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    wanted = {"ours": "llem", "vLLM": options.vllm, "AIPerf": options.aiperf}
    commands = {name: command for name, command in wanted.items() if command}
    print(f"python {' '.join(sys.argv)}\n{machine()}\npressure before: {pressure()}")
    print(", ".join(f"{name} {version(command, name.lower())}" for name, command in commands.items() if name != "ours"))
    print("\n| tool | seconds | answers of the server | files | kB |\n|---|---|---|---|---|", flush=True)
    said = {}
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name)
        save_model(inputs / "model")
        save_prompts(inputs, inputs / "model", options.requests)
        with served(inputs, options.port) as server:
            for tool, command in commands.items():
                place = inputs / tool
                place.mkdir()
                sweep = Sweep(inputs, place, server.url, options.requests, options.repeats)
                measure(tool, command, sweep, server, is_killed=options.kill)
                said[tool] = (place / "output.txt").read_text(errors="replace").splitlines()[-40:]
    print(f"\npressure after: {pressure()}")
    for tool, lines in said.items():
        print(f"\n{tool} ends with:\n" + "\n".join(f"    {each}" for each in lines))


if __name__ == "__main__":
    main()
