"""Whole runs whose answers are scored: in this process, on a server, interrupted, and by patterns that hang."""

import json

import pytest
from tiny import tiny_config

from adding_model import adding_tokenizer, cut_to_four_bits, sums, trained, write_task
from llenergymeasure import run_experiment
from llenergymeasure.cli.recovered import print_raw_result
from llenergymeasure.config.loading import load_config
from llenergymeasure.domain.quality import Question
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.raw_results import load_raw_results
from llenergymeasure.run import patterns, preflight
from standins.scripted_server import DONE, Reply, ScriptedServer, event

pytestmark = pytest.mark.usefixtures("small_heap")

HANGS = "(a+)+b"
RUNNING_OUT = "a" * 64


@pytest.fixture
def write(tmp_path):
    """Write a task of these questions with their answers, and return its path."""

    def task(questions, **further):
        path = tmp_path / "task.jsonl"
        lines = [json.dumps({"prompt": prompt, "answer": answer, **further}) for prompt, answer in questions]
        path.write_text("\n".join(lines))
        return str(path)

    return task


def served(task, answers, **changes):
    """The result of a run on a server that gives each question the events of `answers`."""
    with ScriptedServer({"s": lambda asked: answers[asked.text]}) as server:
        fields = {
            "model": "m",
            "backend": "openai",
            "openai": {"base_url": server.url("s")},
            "energy": {"source": "none"},
            "warmup": {"iterations": 0},
            "quality": {"task": task, "keep_answers": True},
        }
        return run_experiment(**fields | changes)


def said(text, reason="stop", **delta):
    return [event(text, **delta), event(reason=reason), DONE]


def test_the_scored_answers_are_those_of_the_measured_run(write):
    prompts = [f"{number} and" for number in range(4)]
    fields = {
        "max_output_tokens": 8,
        "quality": {"task": write([(each, "?") for each in prompts]), "keep_answers": True},
    }
    first = run_experiment(tiny_config(**fields))
    answers = first.process_results[0].scored_answers.answers
    assert (first.quality.right, first.quality.outcomes) == (0, "cccc")
    write([(prompt, answer if prompt[0] != "2" else "no") for prompt, answer in zip(prompts, answers, strict=True)])
    again = run_experiment(tiny_config(**fields))
    assert again.quality.outcomes == "rrcr"
    assert again.energy_per_right_answer_j == pytest.approx(again.total_energy_j / 3)
    assert again.process_results[0].scored_answers.answers == answers
    assert "dataset" not in again.effective_config


def test_a_servers_answers_are_scored_without_their_reasoning_and_failed_ones_are_not_right(write):
    answers = {
        "Hello": said("a"),  # the probe
        "plain": said("12 of them"),
        "pieces": [event("1"), event("2"), event(reason="stop"), DONE],
        "thinks": [event(reasoning_content="13, no: "), event("12"), event(reason="stop"), DONE],
        "aloud": said("<think>12 or 13?</think>14"),
        "cut": said("that is", reason="length"),
        "fails": Reply([b"no"], status=500),
    }
    result = served(write([(name, 12) for name in list(answers)[1:]], match="number"), answers)
    found = result.quality
    assert (found.outcomes, found.unanswered, found.cut) == ("rrrwcu", 1, 1)
    assert (found.questions, found.right, found.share) == (6, 3, 0.5)
    kept = result.process_results[0].scored_answers.answers
    assert kept == ["12 of them", "12", "12", "14", "that is", None]


def test_a_pattern_that_hangs_on_an_answer_takes_its_time_and_no_more(write, monkeypatch):
    monkeypatch.setattr(patterns, "TIME_S", 0.1)
    answers = {"Hello": said("a"), "one": said(RUNNING_OUT), "two": said(f"{RUNNING_OUT}b")}
    result = served(write([("one", HANGS), ("two", HANGS)], match="regex"), answers)
    assert result.quality.outcomes == "xr"
    assert "1 of 2 answers took their pattern too long" in "\n".join(result.measurement_warnings)
    slow = patterns.Patterns()
    with slow.process:
        assert [slow.found_in(HANGS, RUNNING_OUT) for _ in range(7)] == [None] * 7
        assert slow._slow == patterns.MOST_SLOW


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?P<a>x)(?P<a>y)", "a{2,1}", "\\", "(" * 900])
def test_a_pattern_that_is_none_is_refused_before_the_run_with_file_and_line(write, pattern):
    task = write([("fine", "."), ("broken", pattern)], match="regex")
    with pytest.raises(ConfigError) as caught:
        preflight.check(tiny_config(quality={"task": task}, num_prompts=2), preflight.find_sources(), None)
    assert f"{task}:2: answer: not a pattern that can be used: " in str(caught.value)


def test_a_pattern_that_takes_for_ever_to_read_is_refused(monkeypatch):
    monkeypatch.setattr(patterns, "TIME_S", 0.05)
    monkeypatch.setattr(patterns.re, "compile", lambda pattern: sum(range(10**9)))
    (problem,) = patterns.pattern_problems("t.jsonl", [Question("a", "regex", 7)] * 3)
    assert problem.startswith("t.jsonl:7: answer: not a pattern that can be used: it ")


def test_files_are_looked_for_beside_the_yaml_and_each_that_is_missing_is_named(tmp_path, monkeypatch):
    folder, file = tmp_path / "there", tmp_path / "there" / "experiment.yaml"
    folder.mkdir()
    file.write_text("model: random:llama\nquality:\n  task: task.jsonl\n  lm_eval: given.json\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        preflight.require_paths(load_config(file), None)
    assert f"{file}:3: quality.task: task.jsonl: no such file" in str(caught.value)
    assert f"{file}:4: quality.lm_eval: given.json: no such file" in str(caught.value)
    (folder / "task.jsonl").write_text("{}")
    (folder / "given.json").write_text("{}")
    found = load_config(file).experiment.quality
    assert (found.task, found.lm_eval) == ("there/task.jsonl", "there/given.json")


def test_a_run_that_is_interrupted_keeps_the_scores_of_the_answers_that_came(write, tmp_path, monkeypatch, capsys):
    import transformers

    generate, calls = transformers.LlamaForCausalLM.generate, []

    def interrupted(self, **arguments):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return generate(self, **arguments)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "generate", interrupted)
    task = write([(f"{number}", ".") for number in range(4)], match="regex")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(tiny_config(quality={"task": task}), output_dir=tmp_path / "out")
    (folder,) = (tmp_path / "out" / ".state").iterdir()
    (raw,) = load_raw_results(folder)
    assert raw.is_partial
    assert raw.scored_answers.outcomes == "rr.."
    print_raw_result(raw, folder)
    assert "right answers 2 of the 2 that came" in " ".join(capsys.readouterr().out.split())


def adding(folder, task):
    fields = {"batch_size": 16, "max_output_tokens": 4, "precision": "fp32", "device": "cpu"}
    return run_experiment(
        model=str(folder),
        **fields,
        num_prompts=len(sums()),
        warmup={"iterations": 1},
        energy={"source": "estimate"},
        quality={"task": task},
    )


@pytest.mark.slow
def test_a_model_that_adds_has_fewer_right_answers_with_weights_of_four_bits(tmp_path):
    tokenizer = adding_tokenizer()
    model, task = trained(tokenizer), write_task(tmp_path / "sums.jsonl")
    results = []
    for name in ("whole", "cut"):
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        results.append(adding(tmp_path / name, task))
        cut_to_four_bits(model)
    whole, cut = (result.quality for result in results)
    assert whole.share > 0.97
    assert cut.high < whole.low
    assert whole.task_digest == cut.task_digest
    for result in results:
        assert result.energy_per_right_answer_j == pytest.approx(result.total_energy_j / result.quality.right)
