"""Facts about a loaded model. Data only."""

from dataclasses import dataclass, field

from pydantic import JsonValue


@dataclass(frozen=True)
class DecoderShape:
    """The sizes that determine what a decoder computes for a token; see `metrics.flops`.

    `matmul_parameters`: weights of all linear layers but the output head, and of a mixture of experts the router
    and the experts that it chooses for a token. `head_parameters`: those of the head. `attention_width`: query heads
    times head size. `attention_window`: how many tokens each of `windowed_layers` attends to at most, None for none.
    `expanding_parameters`: weights that multiply every token attended to, again at each pass: multi-head latent
    attention makes keys and values of what it has cached.
    """

    matmul_parameters: int
    head_parameters: int
    layers: int
    attention_width: int
    attention_window: int | None = None
    windowed_layers: int = 0
    expanding_parameters: int = 0


@dataclass(frozen=True)
class ModelFacts:
    """A loaded model: where it runs, what it takes, where it came from.

    `device`: "cpu", "cuda:0", or of a server "cuda", "remote"; `device_name`: as people know it; `device_uuids`: of the
    GPUs, as their driver gives them. `shape` is None where the architecture cannot be counted, and `shape_unknown`
    is the reason. `prompt_tokens`: ids a random prompt may be made of. `unmetered`: why nothing here can meter it.
    `remarks`: what is not sure of it. `effective`: what the configuration left open, as it came out. What a server does
    not tell is None, with the reason in `not_known` by the field of the result.
    """

    device: str
    device_name: str
    backend_version: str | None
    model_memory_mb: float | None
    prompt_tokens: range | tuple[int, ...]
    shape: DecoderShape | None
    shape_unknown: str | None
    device_uuids: tuple[str, ...] = ()
    revision: str | None = None
    unmetered: str | None = None
    remarks: tuple[str, ...] = ()
    effective: dict[str, JsonValue] = field(default_factory=dict)
    not_known: dict[str, str] = field(default_factory=dict)

    @property
    def on_accelerator(self) -> bool:
        """True if the model runs on a GPU."""
        return self.device.startswith("cuda")
