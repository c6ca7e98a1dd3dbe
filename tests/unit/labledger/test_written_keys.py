"""Keys that are written into a configuration: found in every spelling, told without being repeated, and no others."""

import json
import random
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labledger.written_keys import WrittenKeyError, is_secret_name, refuse_written_keys, written_keys

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


@pytest.mark.parametrize(("document", "place"), REFUSED, ids=str)
def test_a_written_key_is_found_with_its_place_and_not_repeated(document, place):
    ((location, what),) = written_keys(document)
    assert location == place
    assert K not in what
    assert "sk-t" not in what


@pytest.mark.parametrize("document", TAKEN, ids=str)
def test_what_only_resembles_a_key_is_taken(document):
    assert list(written_keys(document)) == []


secret = st.text(string.ascii_letters + string.digits + "-_+/=.~", min_size=1, max_size=60).filter(
    lambda key: not key.startswith("-")
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
    assume(len(key) > 5 or not key.isalpha())
    with pytest.raises(WrittenKeyError) as caught:
        refuse_written_keys({"launch": spelling(name, key)}, "name its variable")
    assert len(key) < 6 or key not in str(caught.value)
    assert str(caught.value).startswith("launch")
    assert str(caught.value).endswith("; name its variable")


@given(st.text(string.ascii_lowercase + " .,-:", max_size=200), st.integers(), st.booleans())
def test_prose_numbers_and_switches_are_no_keys(prose, number, switch):
    document = {"model": "m", "prompt": f"Say: {prose}", "max_tokens": number, "use_auth_token": switch}
    assert list(written_keys(document)) == []


@given(
    st.recursive(st.text() | st.none(), lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20)
)
def test_no_document_makes_the_search_fail(document):
    list(written_keys(document))


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
