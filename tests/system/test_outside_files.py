"""A named pipe or a device where a command reads a file: it is named at once, and neither waited for nor read."""

import os
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "3.0"
ZERO = Path("/dev/zero")
KINDS = {"a named pipe": os.mkfifo, "a device": lambda path: path.symlink_to(ZERO)}


@pytest.fixture
def results(user):
    """A folder of results with one that is sound, and one whose file is to be made."""
    source = min(GOLDEN.glob("**/result.json"))
    for name in ("sound", "odd"):
        shutil.copytree(source.parent, user.folder / "results" / name)
    odd = user.folder / "results" / "odd" / "result.json"
    odd.unlink()
    return odd


def refuses(ended, kind, *words):
    """Assert that the command named the file and its kind, and has no defect."""
    shown = " ".join(ended.stderr.split())
    assert f"is {kind}, not a regular file" in shown
    assert [each for each in (*words, "error: ") if each not in shown] == []
    assert "defect" not in shown
    assert "Traceback" not in shown
    return ended.code


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_as_a_configuration_a_dataset_and_a_result(user, kind):
    for name in ("odd.yaml", "odd.jsonl", "odd.json"):
        KINDS[kind](user.folder / name)
    assert refuses(user.llem("run", "odd.yaml"), kind, "odd.yaml") == 2
    assert refuses(user.llem("run", user.experiment(), "-d", "odd.jsonl"), kind, "odd.jsonl") == 2
    assert refuses(user.llem("results", "show", "odd.json"), kind, "odd.json") == 1
    KINDS[kind](user.config_file)
    assert refuses(user.llem("run", user.experiment()), kind, "config.yaml") == 2
    assert not (user.folder / "results").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_in_a_folder_of_results_is_named_and_the_others_are_read(user, results, kind):
    KINDS[kind](results)
    for command, code in (("list", 0), ("export", 0), ("verify", 1)):
        ended = user.llem("results", command, "results")
        assert ended.code == code, ended
        assert "odd" in ended.stderr + ended.stdout, command
        assert "defect" not in ended.stderr


def test_an_export_is_not_written_in_the_place_of_a_pipe(user, results):
    os.mkfifo(user.folder / "out.csv")
    refuses(user.llem("results", "export", "results", "-o", "out.csv"), "a named pipe", "out.csv")
    assert (user.folder / "out.csv").is_fifo()


def test_a_chat_template_that_refuses_is_quoted_whole_and_clean_before_anything_is_loaded(user, model_folder):
    folder = shutil.copytree(model_folder, user.folder / "tiny.model")
    template = "{{ raise_exception('\x1b]0;owned\x07Roles must:\n  alternate') }}"
    (folder / "chat_template.jinja").write_text(template)
    user.write("chats.jsonl", '{"messages": [{"role": "user", "content": "Hello"}]}\n' * 4)
    config = user.experiment(model="tiny.model", random_model=None, dataset="chats.jsonl")
    ended = user.llem("run", config, "--dry-run")
    assert ended.code in (1, 2)
    assert "prompt 1 is refused by the model's chat template: \ufffd]0;owned\ufffdRoles must: alternate" in ended.stderr
    assert "defect" not in ended.stderr
    assert "\x1b" not in ended.stderr
