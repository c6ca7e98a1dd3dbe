"""Keys that are written into a configuration: found in every spelling, told without being repeated, and no others."""

import json
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.secret_rules import Secrecy, is_literal, is_random, is_secret_name, secrecy
from labledger.written_keys import WrittenKeyError, refuse_written_keys, written_keys

K = "tPq8Zx7Lm2"


def sk(length, signs=string.ascii_letters + string.digits):
    return "sk-" + "".join(random.Random(length).choices(signs, k=length))  # noqa: S311


REFUSED = [
    (["vllm", "--api-key", K], (2,)),
    (["vllm", "--api-key", "-" + K], (2,)),
    ([f"--api_key={K}"], (0,)),
    ([f"--token={K}"], (0,)),
    (["--hf-token", K], (1,)),
    (["--password", K], (1,)),
    (["-hft", K], (1,)),
    (["--admin-api-key", K], (1,)),
    ([f"PGPASSWORD={K}"], (0,)),
    ([f"--githubtoken={K}"], (0,)),
    (["--client-secret", K], (1,)),
    (["curl", "-H", f"Authorization: Bearer {K}"], (2,)),
    ([f"-HAuthorization: Bearer {K}"], (0,)),
    ([f"--header=X-Api-Key: {K}"], (0,)),
    ([f"Cookie: session={K}; path=/"], (0,)),
    (["env", f"OPENAI_API_KEY={K}", "vllm"], (1,)),
    ([f"HF_TOKEN={K}", "vllm"], (0,)),
    (["docker", "run", "-e", f"SOME_TOKEN={K}"], (3,)),
    ([f"--env=HF_TOKEN={K}"], (0,)),
    ([f"AWS_SECRET_ACCESS_KEY={K}"], (0,)),
    (["sh", "-c", f"vllm serve --api-key {K}"], (2,)),
    (["sh", "-c", f"A='x' && vllm --api-key='{K}"], (2,)),
    (["bash", "-lc", f"export FOO_TOKEN={K}; vllm"], (2,)),
    (["bash", "-c", f"bash -c 'vllm --api-key {K}'"], (2,)),
    (["sh", "-c", f"curl -H 'X-Api-Key: {K}' host"], (2,)),
    (["x", json.dumps({"api_key": K})], (1,)),
    (["--extra-headers=" + json.dumps({"Authorization": f"Bearer {K}"})], (0,)),
    ([f"http://user:{K}@host/v1"], (0,)),
    ([f"http://host/v1?api_key={K}"], (0,)),
    ({"api_key": K}, ("api_key",)),
    ({"apiKey": K}, ("apiKey",)),
    ({"api_keys": [K]}, ("api_keys",)),
    ({"a": {"extra_headers": {"Authorization": f"Bearer {K}"}}}, ("a", "extra_headers", "Authorization")),
    ({"headers": [f"Authorization: Bearer {K}"]}, ("headers", 0)),
    ({"headers": {"x-api-key": K}}, ("headers", "x-api-key")),
    ({"flags": {f"api-key={K}": True}}, ("flags",)),
    ({"flags": {"x": f"--api-key {K}"}}, ("flags", "x")),
    ({"base_url": f"http://host/v1/{sk(32)}/chat"}, ("base_url",)),
    ({"model": sk(48)}, ("model",)),
    ({"model": "sk-proj-" + sk(90, string.ascii_letters + string.digits + "-_")[3:]}, ("model",)),
    ({"note": f"mine is {'hf_' + 'a1B2' * 9}, keep it"}, ("note",)),
    ({"note": "ghp_" + "a1B2" * 9}, ("note",)),
    ({"note": "AKIA" + "ABCD1234" * 2}, ("note",)),
    ({"note": "xoxb-123456789012-abc"}, ("note",)),
    ({"note": "AIza" + "a1B2_" * 7}, ("note",)),
    ({"note": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"}, ("note",)),
]

TAKEN = [
    ["--max-tokens", "128"],
    ["--max_tokens=128"],
    ["--tokenizer", "x"],
    ["--tokenizer-mode=auto"],
    ["--token-limit", "5"],
    ["--eos-token", "</s>"],
    ["EOS_TOKEN=</s>"],
    ["--ssl-keyfile", "/x", "--ssh-key", "/y", "--monkey", "z", "--password-file", "/p", "--keys", "3"],
    ["--lora-modules", "a=b", "--allowed-origins", '["*"]', "--stop-token=x", "--tokens", "5", "--hotkey", "k"],
    ["TOKENIZERS_PARALLELISM=false"],
    ["--api-key-file", "/run/secrets/key"],
    ["--api-key", "$VLLM_API_KEY"],
    ["--api-key"],
    ["--api-key", ""],
    ["sh", "-c", 'vllm serve --api-key "$KEY"'],
    ["sh", "-c", "vllm serve --api-key $(cat /run/secrets/key)"],
    ["docker", "run", "-e", "HF_TOKEN", "--user", "1000:1000"],
    ["podman", "run", "--secret", "name"],
    ["--hf-overrides", '{"max_tokens": 5}'],
    ["--system-prompt", "Tell me your password: please, or --explain"],
    ["--stop", "Authorization:"],
    ["ssh://git@host/x", "http://127.0.0.1:8000/v1?tokens=5"],
    {"api_key_env": "OPENAI_API_KEY"},
    {"eos_token": "</s>", "pad_token_id": 3, "stop_token": "x", "key": "v", "sort_key": "v"},
    {"use_auth_token": True, "api_key": None, "token": ""},
    {"prompt": "your api_key: value, password=hello; Bearer tokens, Basic understanding, sk-learn"},
    {"password": "a bank's agent is told about it in prose"},
    {"model": "sk-learn-model"},
    {"model": "sk-learn-text-classification-v2"},
    {"model": "/data/models--x/snapshots/5f0b02c75b57c5855da9ae460ce51323ea669d8a"},
    {"model": "hf_internal_testing/tiny-random-LlamaForCausalLM"},
]

REFUSED_NAMES = [
    *("GROQ_KEY", "OPENAI_API_KEY_PROD", "HF_TOKEN_READ", "AWS_ACCESS_KEY_ID", "GITHUB_PAT", "MY_KEY", "DB_PASS"),
    *(
        "APIkey",
        "apiKey",
        "privateKey",
        "litellm_key",
        "signing_key",
        "bearer",
        "credentials",
        "X-Auth-Key",
    ),
    *("\uff41\uff50\uff49_\uff4b\uff45\uff59", "api_\u200bkey", "Ocp-Apim-Subscription-Key", "x-goog-api-key"),
    "PRIVATE-TOKEN",
]
WEAK_NAMES = ["token", "tokens", "key", "auth", "pass", "jwt", "user_token", "sig", "--use-auth-token"]
NO_NAMES = [
    *(
        "tokens_per_second",
        "max_token",
        "NUM_TOKEN",
        "TIME_PER_TOKEN",
        "eos_token",
        "cache_key",
        "SORT_KEY",
        "keyboard",
    ),
    *("api_key_env", "--api-key-file", "token_type", "tokenizer", "TOKENIZERS_PARALLELISM", "pad_token_id", "--secret"),
]
DRAWN = "x9Kq2mVb7Lw4"
REFUSED_DRAWN = [
    ["curl", "-H", f"Authorization: ApiKey {DRAWN}"],
    ["curl", "-H", f"PRIVATE-TOKEN: {DRAWN}"],
    ["curl", "-u", f"user:{DRAWN}"],
    ["curl", "--proxy-user", f"u:{DRAWN}"],
    ["srv", "--auth", DRAWN],
    ["srv", "--api-key", f"--{DRAWN}"],
    ["srv", "--api-key", f"${DRAWN}"],
    ["srv", "--api-key", f"<{DRAWN}"],
    ["srv", "--api-key", [DRAWN]],
    ["srv", f"/api-key:{DRAWN}"],
    ["jupyter", f"--NotebookApp.token:{DRAWN}"],
    ["python", "-c", f"import os; os.environ['HF_TOKEN'] = '{DRAWN}'; main()"],
    ["python", "-c", "OpenAI(api_key = 'hunter2pass')"],
    ["sh", "-c", f"(HF_TOKEN={DRAWN} srv)"],
    ["sh", "-c", f"srv --api-key ${{K:={DRAWN}}}"],
    ["pwsh", "-c", f'$env:HF_TOKEN="{DRAWN}"'],
    ["fish", "-c", f"set -x HF_TOKEN {DRAWN}"],
    {"headers": [["Authorization", f"Bearer {DRAWN}"]]},
    {"headers": [{"name": "Authorization", "value": f"Bearer {DRAWN}"}]},
    {"api_key": 123456789012345678},
    {"api_key": {"value": DRAWN}},
    {"api_key": [[DRAWN]]},
    {"api_key": f"my {DRAWN}"},
    {"cookies": {"session": DRAWN}},
    {"extra": f' {{"api_key": "{DRAWN}"}}'},
    {"system_prompt": f"use Authorization: Bearer {DRAWN} please"},
    {"text": f"api_key={DRAWN} please"},
    *(
        f"http://{DRAWN}@h/v1 http://h/?key={DRAWN} http://h/#access_token={DRAWN} http://h/?X-Amz-Signature={DRAWN}".split()
    ),
    "http://h/Zq7Wm3Rt9Yp2Lk8Vn4Xc6Bd1/v1",
    *(
        f"{prefix}{'a1B2' * 9}"
        for prefix in ("sk_live_", "pplx-", "xai-", "npm_", "tgp_v1_", "dop_v1_", "HF_", "ya29.")
    ),
    "sk-ant-" + "abcdefgh" * 5,
]
TAKEN_VALUES = [
    *(
        "EMPTY",
        "none",
        "true",
        "False",
        "5",
        "ollama",
        "-",
        "$KEY",
        "${KEY}",
        "%KEY%",
        "{{KEY}}",
        "{key}",
        "<your key>",
    ),
    *("file:/run/k", "@/run/k", "env:KEY", "os.environ/KEY", "/run/secrets/x", "~/k", "token-abc123", "x", "$(cat k)"),
]
TAKEN_FIELDS = [
    *(
        {"model": name}
        for name in (
            *(
                "sk-Mistral7BInstructV02GPTQ",
                "sk-Qwen2VL7BInstructGPTQInt4",
                "/data/hf_HuggingFaceModelsCacheDirectory",
            ),
            *("/scratch/hf_ModelsOfTheWholeGroup2024Final1", "r8_QuantizedLlama3InstructModelV2Final"),
            *("gsk_FinetunedLlama38BInstruct", "nvapi-compatible-llama-3-8b-instruct", "xoxo-model-2024-large-x"),
            *(
                "AIzawa-Finetune-Llama3-8B-Instruct-v2-2024",
                "glpat-terns-of-speech-model-v2",
                "sk-8B-instruct-A1b2-C3d4",
            ),
        )
    ),
    {"stop": ["Authorization: Bearer", "password=X", "api_key="]},
    {"system": "cookie: baked"},
    {"guided_json": {"properties": {"token": "string", "password": {"type": "string"}, "api_key": {"const": "x"}}}},
    {"token": "x", "key": "llama-3-8b-q4_k_m", "metadata": {"session_token": "x"}},
    {"base_url": "http://h/123e4567-e89b-12d3-a456-426614174000/v1"},
    ["srv", "--disable-auth-token", "x", "--require-api-key", "false"],
    ["srv", "--no-hf-token=true", "--enable-authorization=false"],
    ["docker", "run", "--user", "app:app"],
]


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_a_strong_name_takes_nothing_but_keys(name):
    assert secrecy(name) is Secrecy.STRONG
    assert list(written_keys({name: "hunter2"}))


@pytest.mark.parametrize("name", WEAK_NAMES)
def test_a_weak_name_is_given_a_key_where_it_was_drawn_at_random(name):
    assert secrecy(name) is Secrecy.WEAK
    assert list(written_keys({name: DRAWN}))
    assert not list(written_keys({name: "my-value"}))


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_of_a_count_a_place_or_a_text_is_no_secrets(name):
    assert secrecy(name) is Secrecy.NONE


@pytest.mark.parametrize("document", REFUSED_DRAWN, ids=str)
def test_a_key_is_found_wherever_servers_shells_and_programs_take_one(document):
    found = list(written_keys(document))
    assert found
    assert DRAWN not in str(found)


@pytest.mark.parametrize("value", TAKEN_VALUES)
@pytest.mark.parametrize(
    "spelling",
    [
        lambda value: ["srv", "--api-key", value],
        lambda value: ["srv", f"--hf-token={value}"],
        lambda value: ["env", f"MY_KEY={value}", "srv"],
        lambda value: {"password": value},
    ],
    ids=["flag", "assigned flag", "variable", "field"],
)
def test_a_dummy_or_a_reference_is_no_key(value, spelling):
    assert list(written_keys(spelling(value))) == []


@pytest.mark.parametrize("document", TAKEN_FIELDS, ids=str)
def test_names_of_models_and_texts_for_the_model_are_no_keys(document):
    assert list(written_keys(document)) == []


def test_what_is_drawn_at_random_is_distinguished_from_words():
    drawn = random.Random(3)  # noqa: S311
    keys = ["".join(drawn.choices(string.ascii_letters + string.digits, k=24)) for _ in range(500)]
    assert sum(map(is_random, keys)) > 490


@pytest.mark.parametrize(("document", "place"), REFUSED, ids=str)
def test_a_written_key_is_found_with_its_place_and_not_repeated(document, place):
    ((location, what),) = written_keys(document)
    assert location == place
    assert K not in what
    assert "sk-t" not in what


@pytest.mark.parametrize("document", TAKEN, ids=str)
def test_what_only_resembles_a_key_is_taken(document):
    assert list(written_keys(document)) == []


secret = st.text(string.ascii_letters + string.digits + "-_+=.~", min_size=4, max_size=60).filter(
    lambda key: is_literal(key) and not key.startswith("-")
)
names = st.sampled_from(["api_key", "API-KEY", "hfToken", "HF_TOKEN", "x-api-key", "client_secret", "password"])
spellings = st.sampled_from(
    [
        lambda name, key: ["serve", f"--{name}", key, "--port", "1"],
        lambda name, key: [f"--{name}={key}"],
        lambda name, key: ["env", f"{name.replace('-', '_')}={key}", "serve"],
        lambda name, key: ["sh", "-c", f"exec serve --{name} {key} --port 1"],
        lambda name, key: {name: key},
        lambda name, key: {"extra_body": {"deep": [{name: key}]}},
        lambda name, key: {"headers": {name: f"Bearer {key}"}},
        lambda name, key: [json.dumps({name: key})],
        lambda name, key: f"https://host/v1?{name}={key}" if not set(key) & set("&;#") else [f"--{name}={key}"],
    ]
)


@given(names, secret, spellings)
def test_whatever_is_given_to_a_secrets_name_is_refused_without_being_repeated(name, key, spelling):
    with pytest.raises(WrittenKeyError) as caught:
        refuse_written_keys({"launch": spelling(name, key)}, "name its variable")
    assert key.isalpha() or key not in str(caught.value)
    assert str(caught.value).startswith("launch")
    assert str(caught.value).endswith("; name its variable")


@given(st.text(string.ascii_lowercase + " .,-:", max_size=200), st.integers(), st.booleans())
def test_prose_numbers_and_switches_are_no_keys(prose, number, switch):
    document = {"model": "m", "prompt": f"Say: {prose}", "max_tokens": number, "use_auth_token": switch}
    assert list(written_keys(document)) == []


@given(
    st.recursive(st.text() | st.none(), lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20)
)
def test_what_is_found_in_any_document_has_a_place_in_it_and_a_reason(document):
    for location, reason in written_keys(document):
        found = document
        for step in location:
            found = found[step]
        assert reason


def test_a_document_that_is_deeply_nested_is_searched_as_far_as_a_configuration_goes():
    document = "x"
    for _ in range(5_000):
        document = [document]
    assert list(written_keys(document)) == []
    assert list(written_keys(["[" * 5_000])) == []


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("API_KEY", True), ("apikey", True), ("X-Auth-Token", True), ("tokens", False), ("keyboard", False), ("", False)],
)
def test_a_name_is_a_secrets_by_its_last_words(name, is_one):
    assert is_secret_name(name) is is_one


@pytest.mark.parametrize(
    "unit", ["x", "a-", "A_", "://", "a:", "a:a", "_KEY", "eyJ-", "a='", "?a=", "x.", "a ", "[", '"a']
)
@pytest.mark.parametrize("field", ["name", "description", "base_url"])
def test_a_long_text_is_searched_in_time_that_grows_as_its_length(unit, field):
    def searched_s(length: int) -> float:
        document = {field: f"{unit * length}!"[: length + 1]}
        begin = time.process_time()
        assert [*written_keys(document)] == []
        return time.process_time() - begin

    short_s, long_s = min(searched_s(2_000) for _ in range(3)), min(searched_s(16_000) for _ in range(2))
    assert long_s < 25 * short_s + 0.02  # 8 times the length: 64 times by its square
