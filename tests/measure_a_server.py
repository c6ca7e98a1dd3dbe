"""Measures a stand-in server with the `llem` beside this Python, and reads the result back.

`make wheel` runs it with the Python of an environment that has the wheel with its extra `server`, and nothing else.
"""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from standins.streaming_server import StreamingServer

LLEM = Path(sys.executable).with_name("llem")
TOKENS = 8


def main() -> None:
    """End with an error if the wheel cannot do it, or if this environment has what it must do without."""
    assert not any(find_spec(name) for name in ("torch", "transformers", "huggingface_hub", "duckdb")), sys.prefix
    with tempfile.TemporaryDirectory() as folder, StreamingServer() as server:
        experiment = {
            "model": "stand-in",
            "backend": "openai",
            "openai": {"base_url": server.url},
            "num_prompts": 4,
            "max_output_tokens": TOKENS,
            "warmup": {"iterations": 1},
        }
        Path(folder, "experiment.yaml").write_text(json.dumps(experiment), encoding="utf-8")

        def llem(*arguments: str) -> str:
            return subprocess.run([LLEM, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout

        llem("run", "experiment.yaml", "--dry-run")
        saved = Path(folder, llem("run", "experiment.yaml", "--quiet").strip())
        assert json.loads(saved.read_text(encoding="utf-8"))["output_tokens"] == 4 * TOKENS
        assert "stand-in" in llem("results", "list")
        llem("results", "verify")


if __name__ == "__main__":
    main()
