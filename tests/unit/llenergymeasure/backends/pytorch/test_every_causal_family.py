"""The check before a run is held against the run, for every kind that transformers loads as a causal language model.

Each is built small, from its config, with random weights; one that does not build so is left out.
"""

import pytest
from models_checked import checked, ended

from small_models import POSITIONS, causal_kinds, save_small_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_heap")]
REACHED = 150
"""How many kinds build small at least, so that a change of transformers does not leave this test without a subject."""
LENGTHS = {"max_input_tokens": None, "max_output_tokens": None}
CASES = {
    "texts": {},
    "static cache": {"pytorch": {"cache": "static"}},
    "sdpa asked for": {"pytorch": {"attn_implementation": "sdpa"}},
    "to the last position": {**LENGTHS, "dataset": {"synthetic": {"input_len": POSITIONS - 3, "output_len": 4}}},
    "beyond the last position": {**LENGTHS, "dataset": {"synthetic": {"input_len": POSITIONS - 2, "output_len": 4}}},
    "far beyond": {**LENGTHS, "dataset": {"synthetic": {"input_len": 3 * POSITIONS, "output_len": 4}}},
}
LAST_POSITIONS = [
    {**LENGTHS, "dataset": {"synthetic": {"input_len": length, "output_len": 4}}}
    for length in range(POSITIONS - 7, POSITIONS)
]
built = []


@pytest.fixture
def folder(kind, model_folder, tmp_path):
    """A small model of a kind; the test is left out where there is none."""
    try:
        save_small_model(tmp_path, kind, model_folder)
    except Exception as error:  # transformers raises whatever its parts raise
        pytest.skip(f"{kind} does not build small: {type(error).__name__}")
    built.append(kind)
    return tmp_path


def sees_the_future(folder):
    """Return True if a token changes what the model makes of those before it."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = torch.arange(20, 30)[None]
    others = torch.cat([tokens[:, :-1], torch.tensor([[99]])], dim=1)
    with torch.inference_mode():
        before, after = (model(input_ids=each).logits[:, :-1] for each in (tokens, others))
    return not torch.allclose(before, after, atol=1e-5)


ENCODERS = (
    "bert",
    "big_bird",
    "camembert",
    "electra",
    "megatron-bert",
    "rembert",
    "roberta",
    "roformer",
    "xlm-roberta-xl",
)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("changes", [{}, *LAST_POSITIONS])
def test_an_encoder_that_was_made_a_decoder_runs_up_to_the_position_that_the_check_gives_it(
    kind, changes, model_folder, tmp_path
):
    folder = save_small_model(tmp_path, kind, model_folder, is_decoder=True)
    assert bool(checked(folder, **changes)) == (ended(folder, **changes) is not None)


@pytest.mark.parametrize("kind", causal_kinds())
def test_what_the_check_lets_pass_runs_and_what_it_refuses_does_not(kind, folder):
    for name, changes in CASES.items():
        lines, words = checked(folder, **changes), ended(folder, **changes)
        if lines and "is an encoder-only model" in lines[0]:
            assert words is not None or sees_the_future(folder)
            return
        assert bool(lines) == (words is not None), (name, lines, words)


def test_most_kinds_were_tried():
    assert len(built) >= REACHED
