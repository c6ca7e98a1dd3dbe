"""Real servers of OpenAI's protocol for tests: small models that cost no download, and the commands that serve them.

folder = random_llama_folder(tmp_path / "llama")
with Server(transformers_serve_command(folder, port), port, "/health") as server:
    ...  # base_url: server.url
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 1024,
}
QUIET = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1"}
START_S = 180
STOP_S = 30


def random_llama(seed: int = 0) -> tuple[Any, Any]:
    """A Llama with random weights that says printable ASCII alone when it decodes greedily, and its tokenizer.

    Never a special token or a part of a character: so each token is a text, and an answer has all tokens asked for.
    """
    import torch

    from llenergymeasure.backends.pytorch.random_llama import build_model, build_tokenizer
    from llenergymeasure.config.models import RandomModelConfig
    from llenergymeasure.workload.prompts import builtin_text

    tokenizer = build_tokenizer(builtin_text(), SHAPE["vocab_size"])
    shape = RandomModelConfig(**SHAPE)
    model = build_model(shape, tokenizer, seed=seed, device="cpu", dtype=torch.float32, attention="sdpa")
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = set(tokenizer.all_special_ids)
    silent = [number for number, token in enumerate(tokens) if number in special or not _is_text(token)]
    with torch.no_grad():
        model.lm_head.weight[silent] = 0.0  # a logit of 0 is never the highest of some hundred
    return model, tokenizer


def random_llama_folder(folder: Path, seed: int = 0, ends: Sequence[int] = ()) -> Path:
    """`random_llama` as a model's folder, made in place. `ends` are further tokens that end an answer."""
    model, tokenizer = random_llama(seed)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *ends]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_gguf(file: Path, seed: int = 0) -> Path:
    """The same model as `random_llama_folder`'s in llama.cpp's format, in float32. It needs the package gguf."""
    from gguf import GGUFWriter

    model, tokenizer = random_llama(seed)
    writer = GGUFWriter(str(file), "llama")
    _write_shape(writer, model.config)
    _write_tokenizer(writer, tokenizer)
    for name, tensor in _tensors(model):
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def transformers_serve_command(folder: Path, port: int, *options: str) -> list[str]:
    """`transformers serve` with this model alone, whose name for requests is the folder's path."""
    where = ("--host", "127.0.0.1", "--port", str(port))
    command = (str(Path(sys.executable).with_name("transformers")), "serve", str(folder))
    return [*command, *where, "--device", "cpu", "--dtype", "float32", *options]


def llama_cpp_command(gguf: Path, port: int, *options: str) -> list[str]:
    """llama-cpp-python's server with this model, for which any name will do."""
    where = ("--host", "127.0.0.1", "--port", str(port))
    model = ("--model", str(gguf), "--n_ctx", str(SHAPE["max_position_embeddings"]))
    threads = ("--n_threads", "1", "--n_threads_batch", "1")
    exact = ("--type_k", "0", "--type_v", "0")  # a cache of float32 too
    return [sys.executable, "-m", "llama_cpp.server", *model, *threads, *exact, *where, *options]


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server's process; a context manager, open when it answers at `ready`, stopped with its children at the end.

    Raises:
        RuntimeError: it ended before it answered, or took too long; its output is in the message.
    """

    def __init__(self, command: list[str], port: int, ready: str, **environment: str) -> None:
        self._command = command
        self._environment = environment
        self._port = port
        self._ready = ready
        self.url = f"http://127.0.0.1:{port}/v1"

    def __enter__(self) -> "Server":
        self._output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=os.environ | QUIET | self._environment,
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        children = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        finally:
            self.process.kill()
            for child in psutil.wait_procs(children, timeout=STOP_S)[1]:
                child.kill()
            self.process.wait()
            self._output.close()

    def output(self) -> str:
        """Return its output so far."""
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")

    def _wait(self) -> None:
        deadline_s = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"the server did not answer within {START_S} s:\n{self.output()}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", self._ready)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _is_text(token: str) -> bool:
    return all(letter == "Ġ" or "!" <= letter <= "~" for letter in token)


def _write_shape(writer: Any, config: Any) -> None:
    writer.add_name("random llama")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def _write_tokenizer(writer: Any, tokenizer: Any) -> None:
    from gguf import TokenType

    special = set(tokenizer.all_special_ids)
    numbers = range(len(tokenizer))
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(numbers))
    writer.add_token_types([TokenType.CONTROL if number in special else TokenType.NORMAL for number in numbers])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(True)
    writer.add_chat_template(tokenizer.chat_template)


def _tensors(model: Any) -> list[tuple[str, Any]]:
    """The weights under llama.cpp's names."""
    weights = {name.removesuffix(".weight"): tensor.numpy() for name, tensor in model.state_dict().items()}
    heads, key_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    tensors = [
        ("token_embd.weight", weights["model.embed_tokens"]),
        ("output_norm.weight", weights["model.norm"]),
        ("output.weight", weights["lm_head"]),
    ]
    for number in range(model.config.num_hidden_layers):
        layer = f"model.layers.{number}"
        named = {
            "attn_norm": weights[f"{layer}.input_layernorm"],
            "attn_q": _interleaved(weights[f"{layer}.self_attn.q_proj"], heads),
            "attn_k": _interleaved(weights[f"{layer}.self_attn.k_proj"], key_heads),
            "attn_v": weights[f"{layer}.self_attn.v_proj"],
            "attn_output": weights[f"{layer}.self_attn.o_proj"],
            "ffn_norm": weights[f"{layer}.post_attention_layernorm"],
            "ffn_gate": weights[f"{layer}.mlp.gate_proj"],
            "ffn_up": weights[f"{layer}.mlp.up_proj"],
            "ffn_down": weights[f"{layer}.mlp.down_proj"],
        }
        tensors += [(f"blk.{number}.{name}.weight", tensor) for name, tensor in named.items()]
    return tensors


def _interleaved(weight: Any, heads: int) -> Any:
    """Rows in llama.cpp's order: the two halves that a rotation turns into each other lie side by side."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns).copy()
