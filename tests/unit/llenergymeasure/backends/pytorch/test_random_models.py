"""The small real models that real servers are tried with: libraries load them, and their texts are what they should."""

import pytest

from real_servers import SHAPE, random_gguf, random_llama_folder

PROMPT = "Tell me a number in words"
TOKENS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return random_llama_folder(tmp_path_factory.mktemp("models") / "llama")


def generated(folder, prompt):
    """Return the tokens that the folder's model generates greedily, and their text."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    inputs = tokenizer(prompt, return_tensors="pt")
    tokens = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS)[0, inputs["input_ids"].shape[1] :]
    return tokens, tokenizer.decode(tokens)


def test_a_folders_model_generates_as_many_tokens_as_are_asked_for_in_plain_text(folder):
    tokens, text = generated(folder, PROMPT)
    assert len(tokens) == TOKENS
    assert len(set(tokens.tolist())) > 5
    assert text.isascii()
    assert text.isprintable()


def test_a_folders_tokenizer_writes_a_chat(folder):
    from transformers import AutoTokenizer

    messages = [{"role": "user", "content": "Two words"}]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert chat == "<s>user: Two words\nassistant:"


def test_a_seed_makes_the_same_folder_again(folder, tmp_path):
    again, other = random_llama_folder(tmp_path / "again"), random_llama_folder(tmp_path / "other", seed=1)
    for name in sorted(path.name for path in folder.iterdir()):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name
    assert (other / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_llama_cpp_loads_the_same_model_from_its_own_format(folder, tmp_path):
    reason = "llama.cpp is not installed: `make test-slow` builds it, as pip install '.[test-slow]' does"
    llama_cpp = pytest.importorskip("llama_cpp", reason=reason)
    pytest.importorskip("gguf", reason=reason)
    float32 = 0
    model = llama_cpp.Llama(
        str(random_gguf(tmp_path / "llama.gguf")), n_ctx=256, type_k=float32, type_v=float32, verbose=False
    )
    assert (model.n_vocab(), model.n_embd()) == (SHAPE["vocab_size"], SHAPE["hidden_size"])
    said = model(PROMPT, max_tokens=TOKENS, temperature=0, repeat_penalty=1.0)
    assert said["choices"][0]["text"] == generated(folder, PROMPT)[1]
    assert said["usage"]["completion_tokens"] == TOKENS
