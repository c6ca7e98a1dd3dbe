"""The border between keys and what resembles them: schemas, paths, commands, lists, and keys known by their shape."""

import json

import pytest

from labledger.redaction import environment_keys
from labledger.secret_rules import without_shapes
from labledger.written_keys import written_keys

DRAWN = "x9Kq2mVb7Lw4"
TOOL = {"type": "mcp", "server_url": "https://h"}
IN_TOOLS = [
    {"tools": [{**TOOL, "authorization": "hunter2"}]},
    {"tools": [{**TOOL, "headers": {"Authorization": f"Bearer {DRAWN}"}}]},
    {"tools": [{**TOOL, "headers": {"X-Api-Key": "hunter2"}}]},
    {"tools": [{**TOOL, "token": DRAWN}]},
    {"response_format": {"schema": {"properties": {"password": {"type": "string", "default": DRAWN}}}}},
    {"guided_json": {"properties": {"token": {"enum": ["x", DRAWN]}}}},
    {"flags": {"guided-json": json.dumps({"api_key": "hunter2"})}},
    ["srv", "--guided-json", json.dumps({"properties": {"password": {"const": DRAWN}}})],
]
SCHEMA = {
    "properties": {
        "password": {"type": "string", "description": "the password of the user", "default": "changeme123"},
        "api_key": {"type": "string", "minLength": 8, "pattern": "^x9Kq2mVb7Lw4$"},
        "token": {"enum": ["alpha", "beta"]},
    },
    "dependentRequired": {"password": ["username"]},
}


@pytest.mark.parametrize("document", IN_TOOLS, ids=str)
def test_a_literal_of_a_strong_name_and_a_drawn_value_of_a_schema_are_keys_in_tools_too(document):
    found = list(written_keys(document))
    assert found
    assert DRAWN not in str(found)


@pytest.mark.parametrize(
    "document",
    [
        {"tools": [{"function": {"name": "log_in", "parameters": SCHEMA}}]},
        {"passthrough_kwargs": {"guided_json": SCHEMA}},
        {"flags": {"guided-json": json.dumps(SCHEMA)}},
        ["srv", f"--guided-json={json.dumps({'properties': {'password': {'type': 'string'}}})}"],
        ["srv", "--guided-json", json.dumps(SCHEMA)],
    ],
    ids=["tool", "mapping", "JSON", "assigned flag", "flag"],
)
def test_a_schema_that_asks_for_a_password_holds_none(document):
    assert list(written_keys(document)) == []


IDS = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"


@pytest.mark.parametrize(
    "segment",
    [
        *("20251104T1312-a8f3c2", "batch-20251104T131245-a8f3c2d1e4", "prod-us-east-1a-20250101T000000"),
        *("stage1-step928646-tokens3896B", f"GPU-{IDS}", f"MIG-{IDS}", "q4_K_M-20251104T1312"),
        *("file-e9hB06wJpymDswpBcrQbvZ", "ftjob-0DtAMq94F8epRyRTLoAtz4TF", f"sha256%3A{'db8379c7' * 8}"),
        *(
            "ft%3Agpt-4o-mini-2024-07-18%3Amy-org%3Asuffix%3A9xYz2AbC",
            "Llama-3.1-8B-Instruct-w8a8-20250811.safetensors",
        ),
    ],
)
def test_dates_steps_regions_and_ids_in_a_path_are_no_keys(segment):
    assert list(written_keys({"model": f"https://h/{segment}/resolve/main"})) == []


@pytest.mark.parametrize(
    "segment", ["Zq7Wm3Rt9Yp2Lk8Vn4Xc6Bd1", "v1-Zq7Wm3Rt9Yp2-Lk8Vn4Xc6Bd1Q", "Zq7W%6d3Rt9Yp2Lk8Vn4Xc6Bd1"]
)
def test_letters_and_digits_at_random_in_a_path_are_a_key(segment):
    assert list(written_keys({"model": f"https://h/{segment}/resolve/main"}))


@pytest.mark.parametrize(
    "command",
    [
        "docker run -e HF_TOKEN vllm/vllm-openai:nightly-01efc7ef781391e744ed08c3292817a773d654e6 --model m",
        "docker run --env HUGGING_FACE_HUB_TOKEN 0e9e39f249a1",
        "docker compose run -e OPENAI_API_KEY server-8f3a2b1c",
        "env -u HF_TOKEN /opt/venv-8f3a2b1c/bin/vllm serve",
        "s --use-auth-token exp-20251104T1312-a8f3c2",
        "s --disable-auth exp-20251104T1312-a8f3c2",
        "s --require-auth exp-20251104T1312-a8f3c2 --hide-key exp-20251104T1312-a8f3c2",
        "helm upgrade --set hf.existingSecret=hf-token --set image.pullSecrets=regcred",
        "s --existing-secret hf-token --image-pull-secret regcred --token </s>",
        "env MODEL_KEY=llama3-8b RUN_KEY=3xk2p9qa REGISTRY_KEY=llama EXISTING_SECRET=hf-secret vllm",
    ],
)
def test_the_word_after_a_variables_name_a_switch_or_a_reference_is_no_key(command):
    assert list(written_keys(command.split())) == []
    assert list(written_keys(["bash", "-c", command.replace("</s>", "x")])) == []


@pytest.mark.parametrize(
    "document",
    [
        {"allowed-headers": ["authorization", "x-api-key"]},
        {"bad-words": ["secret", "password"]},
        {"served-model-name": ["secret", "llama"]},
        {"idempotency_key": IDS, "run_key": "3xk2p9qa", "password_policy": "strict", "secret_level": "low"},
        {"extra_headers": {"Idempotency-Key": "exp-20251104T1312-a8f3c2"}},
        {"imagePullSecrets": [{"name": "regcred"}], "existingSecret": "hf-token"},
        {"api_key": "vllm"},
    ],
    ids=str,
)
def test_lists_of_words_references_and_keys_of_records_are_no_keys(document):
    assert list(written_keys(document)) == []


@pytest.mark.parametrize(
    "document",
    [
        {"headers": [["X-Api-Key", "hunter2"], ["Accept", "x"]]},
        {"header": ["Authorization", f"Bearer {DRAWN}"]},
        ["docker", "run", "-e", "HF_TOKEN", "-e", f"HF_TOKEN={DRAWN}", "image"],
        ["docker", "run", "-e", "--api-key", "hunter2"],
        ["s", "--token", "hunter2"],
        ["s", "--token=hunter2"],
        ["bash", "-c", "huggingface-cli login --token swordfish"],
        {"flags": {"token": "hunter2"}},
        ["env", f"REGISTRY_TOKEN={DRAWN}", f"PULL_TOKEN={DRAWN}", "s"],
        ["env", f"SALES_FORCE_PASSWORD={DRAWN}", "s"],
        {"base_url": "user:hunter2@host:8000/v1"},
        {"base_url": "http:\\\\user:hunter2@host"},
        {"model": f"https://h/v1;jsessionid={DRAWN}"},
        {"model": f"https://h/v1?t%6Fken={DRAWN}"},
    ],
    ids=str,
)
def test_a_pair_a_flag_for_a_token_and_a_miswritten_url_hold_keys(document):
    assert list(written_keys(document))


def test_a_token_of_a_body_may_be_a_word():
    assert list(written_keys({"passthrough_kwargs": {"token": "swordfish"}})) == []


SHAPED = [
    "api_org_" + "aBcDeFgH" * 4,
    "dapi" + "0a1b2c3d" * 4,
    "GOCSPX-" + "a1B2" * 6,
    "hvs." + "a1B2" * 8,
    "dp.pt." + "a1B2" * 10,
    "shpat_" + "0a1b2c3d" * 4,
    "pcsk_" + "a1B2" * 10,
    "tvly-dev-" + "a1B2" * 7,
    "AGE-SECRET-KEY-1" + "QPZR9Y8X" * 7,
    "sk-proj-" + "a1B2" * 8,
    "hf_" + "a1B2" * 9,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize("key", SHAPED)
def test_a_key_with_a_shape_is_found_and_masked_to_its_end(key):
    assert list(written_keys({"user": f"it is {key}"}))
    assert without_shapes(f"found {key}, and {key}; both", "(the key)") == "found (the key), and (the key); both"


def test_a_document_is_searched_as_deeply_as_a_policy_may_be_nested():
    document = {"node_id": SHAPED[0]}
    for _ in range(320):
        document = {"on_true": document}
    assert list(written_keys(document))


@pytest.mark.parametrize("placeholder", ["EMPTY", "lm-studio", "llama.cpp", "vllm", "no-key-required"])
def test_a_placeholder_in_a_secrets_variable_is_not_masked(monkeypatch, placeholder):
    monkeypatch.setenv("OPENAI_API_KEY", placeholder)
    assert "OPENAI_API_KEY" not in environment_keys()
