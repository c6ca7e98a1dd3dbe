"""Bad input is refused with one clear message: no traceback, and nothing left behind."""

import json
import os
import shutil
from contextlib import suppress

import pytest

from llenergymeasure import ExperimentResult

CONFIGURATIONS = {
    "an unknown key": (
        "model: random:llama\nnum_promts: 4\n",
        ["experiment.yaml:2: num_promts: unknown key", "did you mean num_prompts?"],
    ),
    "an unknown key of a section": (
        "model: random:llama\nwarmup:\n  iterations: 2\n  iteratons: 3\n",
        ["experiment.yaml:4: warmup.iteratons: unknown key", "did you mean iterations?"],
    ),
    "a text for a number": (
        "model: random:llama\nnum_prompts: many\n",
        ["experiment.yaml:2: num_prompts:", "integer", "'many'"],
    ),
    "a truth value for a number": (
        "model: random:llama\nnum_prompts: true\n",
        ["experiment.yaml:2: num_prompts:", "integer", "True"],
    ),
    "a number for a section": ("model: random:llama\nwarmup: 3\n", ["experiment.yaml:2: warmup:", "section"]),
    "a word that is not in the list": (
        "model: random:llama\nprecision: fp61\n",
        ["experiment.yaml:2: precision:", "'fp32', 'fp16' or 'bf16'", "did you mean fp16?"],
    ),
    "no prompts asked for": ("model: random:llama\nnum_prompts: 0\n", ["experiment.yaml:2: num_prompts:", "1"]),
    "no model": ("num_prompts: 4\n", ["experiment.yaml: model: required, and missing"]),
    "another random model": ("model: random:gpt\n", ["experiment.yaml:1: model:", "random:llama"]),
    "a key twice": (
        "model: random:llama\nnum_prompts: 4\nnum_prompts: 5\n",
        ["experiment.yaml:3:", "duplicate key", "num_prompts"],
    ),
    "a tag": ("model: !!python/name:os.system x\n", ["experiment.yaml:1:", "tag", "not accepted"]),
    "broken YAML": ("model: [random:llama\nnum_prompts: 4\n", ["experiment.yaml:2:"]),
    "a list": ("- model: random:llama\n", ["experiment.yaml:1:", "key: value", "list"]),
    "a setting without effect": (
        "model: random:llama\ndecoder: {top_k: 3}\n",
        ["experiment.yaml:2: decoder.top_k:", "do_sample: true"],
    ),
    "several things at once": (
        "model: random:llama\nnum_promts: 4\nprecision: fp8\nwarmup: {iterations: -1}\n",
        ["experiment.yaml:2: num_promts:", "experiment.yaml:3: precision:", "experiment.yaml:4: warmup.iterations:"],
    ),
}


@pytest.mark.parametrize(("text", "words"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_configuration_that_cannot_be_used_is_refused_with_file_line_and_field(user, text, words):
    ended = user.llem("run", user.write("experiment.yaml", text))
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ")
    assert [word for word in words if word not in ended.stderr] == []
    assert "Traceback" not in ended.stderr
    assert user.made() == []


FLAGS = {
    "no prompts": (["-n", "0"], ["--num-prompts", "1", "0"]),
    "a word for a number": (["-n", "many"], ["--num-prompts", "integer"]),
    "an unknown precision": (["-p", "fp8"], ["--precision", "'fp32', 'fp16' or 'bf16'"]),
    "an unknown backend": (["-b", "vllm"], ["--backend", "'pytorch'"]),
    "an unknown flag": (["--num-promts", "4"], ["No such option", "--num-promts", "--num-prompts"]),
    "a model without a name": (["-m", ""], ["--model"]),
    "a model in no home": (["-m", "~no-such-user/model"], ["~no-such-user/model"]),
    "a dataset in no home": (["-d", "~no-such-user/prompts.jsonl"], ["~no-such-user/prompts.jsonl"]),
    "a dataset of another kind": (["-d", "prompts.csv"], ["prompts.csv", "builtin", ".jsonl"]),
    "a dataset that is not there": (["-d", "gone.jsonl"], ["gone.jsonl: no such file"]),
    "a second configuration": (["other.yaml"], ["other.yaml"]),
}


@pytest.mark.parametrize(("flags", "words"), FLAGS.values(), ids=FLAGS)
def test_a_flag_that_cannot_be_used_is_refused_by_its_name(user, flags, words):
    ended = user.llem("run", user.experiment(random_model=None), *flags)
    assert (ended.code, ended.stdout) in [(1, ""), (2, "")]
    assert [word for word in words if word not in ended.stderr] == []
    assert "Traceback" not in ended.stderr
    assert "defect" not in ended.stderr
    assert user.made() == []


def test_a_configuration_file_that_is_not_there_is_named_with_the_place_it_was_looked_for(user):
    ended = user.llem("run", "gone.yaml")
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == f"error: gone.yaml: no such file (looked in {user.folder})\n"


DATASETS = {
    "empty": ("", ["prompts.jsonl", "no prompts", '{"prompt": "..."}']),
    "blank": ("\n  \n", ["prompts.jsonl", "no prompts"]),
    "a line that is not JSON": ('{"prompt": "a"}\n{"prompt: "b"}\n', ["prompts.jsonl:2:", "not JSON", "column"]),
    "a line without a prompt": ('{"prompt": "a"}\n{"text": "b"}\n', ["prompts.jsonl:2:", "expected", '{"text": "b"}']),
    "a prompt that is blank": ('{"prompt": "a"}\n\n{"prompt": "  "}\n', ["prompts.jsonl:3:", "expected"]),
    "too few prompts": ('{"prompt": "a"}\n"b"\n', ["has 2 prompts", "num_prompts is 4"]),
}


@pytest.mark.parametrize(("text", "words"), DATASETS.values(), ids=DATASETS)
def test_a_dataset_that_cannot_be_used_is_refused_with_its_line(user, text, words):
    user.write("prompts.jsonl", text)
    ended = user.llem("run", user.experiment(), "--dataset", "prompts.jsonl")
    assert (ended.code, ended.stdout) == (2, "")
    assert [word for word in words if word not in ended.stderr] == []
    assert ended.stderr.count("error: ") == 1
    assert "Traceback" not in ended.stderr
    assert user.made() == []


def remove_folder(folder):
    shutil.rmtree(folder)


def cut_weights_short(folder):
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def write_garbage_over_header(folder):
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(b"\xff" * 64)


def write_a_header_that_is_not_json(folder):
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(8)
        file.write(b"garbage!")


def leave_only_a_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def ask_for_remote_code(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "modeling_evil.py").write_text("open('evil', 'w')\n", encoding="utf-8")


def ask_for_another_size(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 256}), encoding="utf-8")


def remove_config(folder):
    (folder / "config.json").unlink()


def break_config(folder):
    (folder / "config.json").write_text('{"model_type": ', encoding="utf-8")


def remove_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


MODELS = {
    "missing": (remove_folder, ["no such folder", "./tiny.model"]),
    "cut short": (cut_weights_short, ["tiny.model/model.safetensors: corrupt safetensors file", "bytes"]),
    "garbage header": (write_garbage_over_header, ["tiny.model/model.safetensors: corrupt safetensors file", "header"]),
    "header not JSON": (write_a_header_that_is_not_json, ["tiny.model/model.safetensors: corrupt safetensors file"]),
    "pickle only": (leave_only_a_pickle, ["tiny.model", "pickle", "pytorch_model.bin", "safetensors"]),
    "remote code": (ask_for_remote_code, ["tiny.model", "auto_map", "trust_remote_code: true"]),
    "no config.json": (remove_config, ["tiny.model", "config.json"]),
    "config.json broken": (break_config, ["tiny.model/config.json", "JSON"]),
    "no tokenizer": (remove_tokenizer, ["tiny.model", "tokenizer"]),
}


@pytest.mark.parametrize(("spoil", "words"), MODELS.values(), ids=MODELS)
def test_a_model_folder_that_cannot_be_used_is_refused_before_anything_is_loaded(user, model_copy, spoil, words):
    spoil(user.folder / model_copy)
    ended = user.llem("run", user.experiment(model=f"./{model_copy}", random_model=None))
    assert (ended.code, ended.stdout) == (1, "")
    assert [word for word in words if word not in ended.stderr] == []
    assert ended.stderr.count("error: ") == 1
    assert "loading" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert user.made() == []


def test_a_dry_run_refuses_weights_that_do_not_fit_their_config(user, model_copy):
    ask_for_another_size(user.folder / model_copy)
    ended = user.llem("run", user.experiment(model=f"./{model_copy}", random_model=None), "--dry-run")
    assert ended.code == 1
    assert ended.stderr.startswith(
        "error: model: ./tiny.model: its files hold 6 tensors in another shape than config.json"
    )
    assert "Traceback" not in ended.stderr
    assert user.made() == []


def test_a_hub_model_that_is_not_at_hand_offline_is_one_message_that_says_so(user):
    ended = user.llem("run", user.experiment(model="nobody/no-such-model", random_model=None))
    assert (ended.code, ended.stdout) == (1, "")
    assert "error: model: nobody/no-such-model: no folder here" in ended.stderr
    assert "HF_HUB_OFFLINE" in ended.stderr
    assert user.made() == []


def test_a_hub_that_does_not_answer_is_one_message_and_no_noise_of_its_client(user):
    yaml = user.experiment(model="nobody/no-such-model", random_model=None)
    ended = user.llem("run", yaml, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:1")
    checking, error = ended.stderr.splitlines()
    assert checking.startswith("checking: ")
    assert error.startswith("error: model: nobody/no-such-model: no folder here")
    assert "the hub cannot be reached" in error


def test_a_backend_that_is_not_installed_is_named_with_the_command_that_installs_it(user, hiding):
    ended = user.llem("run", user.experiment(), PYTHONPATH=hiding("torch"))
    assert (ended.code, ended.stdout) == (2, "")
    assert "error: backend pytorch: torch not installed; run pip install -e '.[pytorch]'" in ended.stderr
    assert user.made() == []


def test_doctor_works_without_a_backend_and_says_how_to_install_it(user, hiding):
    ended = user.llem("doctor", PYTHONPATH=hiding("torch"))
    assert (ended.code, ended.stderr) == (0, "")
    assert "not available: torch not installed; run pip install -e '.[pytorch]'" in ended.stdout


def test_every_problem_is_listed_at_once(user, model_copy):
    leave_only_a_pickle(user.folder / model_copy)
    user.write("taken.yaml", "")
    user.write("prompts.jsonl", "not JSON\n")
    yaml = user.experiment(model=f"./{model_copy}", random_model=None, dataset="prompts.jsonl")
    ended = user.llem("run", yaml, "--output", "taken.yaml")
    assert (ended.code, ended.stdout) == (1, "")
    _, head, *problems = ended.stderr.splitlines()
    assert head == "error: 3 problems"
    assert [
        next(word for word in ("pickle", "prompts.jsonl:1:", "taken.yaml is a file") if word in line)
        for line in problems
    ]
    assert user.made() == []


def test_an_output_directory_that_is_a_file_is_refused(user):
    ended = user.llem("run", user.experiment(), "--output", "experiment.yaml/results")
    assert (ended.code, ended.stdout) == (1, "")
    assert "error: output: experiment.yaml/results:" in ended.stderr
    assert "is a file" in ended.stderr


def test_an_output_directory_that_cannot_be_written_to_is_refused(user, read_only_folder):
    ended = user.llem("run", user.experiment(), "--output", read_only_folder / "results")
    assert (ended.code, ended.stdout) == (1, "")
    assert f"error: output: {read_only_folder}/results: {read_only_folder} cannot be written to" in ended.stderr
    assert user.made() == []


def fill(disk):
    """Write to a disk until it is full."""
    with (disk / "filling").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_full_disk_is_refused_before_anything_is_loaded(user, small_disk):
    fill(small_disk)
    ended = user.llem("run", user.experiment(), "--output", small_disk / "results")
    assert (ended.code, ended.stdout) == (1, "")
    assert f"error: output: {small_disk}/results: 0.0 MB free" in ended.stderr
    assert "loading" not in ended.stderr
    assert os.listdir(small_disk) == ["filling"]


def test_a_result_whose_disk_fills_meanwhile_is_kept_and_the_message_says_where(user, small_disk):
    with user.watch("run", user.experiment(), "--output", small_disk / "results") as command:
        command.wait_for("loading")
        fill(small_disk)
        ended = command.end()
    (kept,) = user.unsaved.glob("*/result.json")
    assert (ended.code, ended.stdout) == (1, "")
    assert f"error: the result could not be saved in {small_disk}/results: No space left on device" in ended.stderr
    assert f"it is kept at {kept}" in ended.stderr
    told = ended.stderr.index("No space left on device. The run goes on, but its requests are held in memory alone")
    assert told < ended.stderr.index("measuring") < ended.stderr.index("could not be saved")
    assert "Traceback" not in ended.stderr
    assert ExperimentResult.from_json(kept).output_tokens == 16
    assert list(small_disk.glob("results/*")) == []


def test_a_result_that_can_be_saved_nowhere_is_printed(user, small_disk):
    state = str(small_disk / "state")
    with user.watch("run", user.experiment(), "--output", small_disk / "results", XDG_STATE_HOME=state) as command:
        command.wait_for("loading")
        fill(small_disk)
        ended = command.end()
    assert ended.code == 1
    assert json.loads(ended.stdout)["output_tokens"] == 16
    assert f"nor in {state}" in ended.stderr
    assert "Traceback" not in ended.stderr
