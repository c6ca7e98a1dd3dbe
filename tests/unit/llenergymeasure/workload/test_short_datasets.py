"""A dataset that is too short: all of it is sent, or round after round, each time with another beginning."""

import json
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment
from tiny import tiny_config
from typer.testing import CliRunner

from llenergymeasure.api import run_experiment
from llenergymeasure.cli.config import fields_in_effect
from llenergymeasure.cli.main import app
from llenergymeasure.config.loading import load_config
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.beginnings import begun_anew
from llenergymeasure.domain.requests import Message
from llenergymeasure.errors import ConfigError, PreFlightError
from llenergymeasure.workload.prompts import load_prompts
from llenergymeasure.workload.rounds import go_round
from properties import examples
from standins.scripted_server import DONE, ScriptedServer, counts, event, usage_event

pytestmark = pytest.mark.usefixtures("small_heap")

ANSWER = [event(" tok"), event(" tok"), event(reason="stop"), usage_event(counts(5, 3)), DONE]
FIELDS = {"backend": "openai", "max_output_tokens": 8, "warmup": {"iterations": 0}, "energy": {"source": "none"}}
TEMPLATES = {
    "system first": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}",
    "system in the first turn": "{% set s = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ s if loop.first }}{{ m.content }}{% endfor %}",
    "system in the last turn": "{% set s = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ s if loop.last }}{{ m.content }}{% endfor %}",
}
TALK = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Why?"))
TALKS = [TALK, TALK[1:], TALK[2:], TALK[1:2]]


@pytest.fixture
def two(tmp_path, monkeypatch):
    """A dataset of two lines in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    return "prompts.jsonl"


@pytest.fixture
def measure(two):
    """A run on the two prompts by a server; its result, and the prompts that the server was sent."""

    def measure(**changes):
        with ScriptedServer({"it": lambda asked: ANSWER}) as server:
            fields = {**FIELDS, "model": "m", "dataset": two, "openai": {"base_url": server.url("it")}, **changes}
            result = run_experiment(**fields)
            return result, [asked.text for asked in server.asked["it"]][1:]

    return measure


def test_without_a_number_all_prompts_of_a_short_dataset_are_sent_and_that_is_the_configuration(measure):
    result, sent = measure()
    assert (sent, result.effective_config["num_prompts"]) == (["one", "two"], 2)
    assert not any("went round" in each for each in result.measurement_warnings)
    asked, _ = measure(num_prompts=2)
    assert {**asked.effective_config, "openai": None} == {**result.effective_config, "openai": None}


def test_of_a_long_dataset_a_hundred_are_sent_without_a_number(two, tmp_path):
    (tmp_path / two).write_text('"a"\n' * 101)
    assert len(load_prompts(ExperimentConfig(model="random:llama", dataset=two)).prompts) == 100


def test_a_number_that_the_dataset_does_not_have_is_refused_with_every_way_out(measure):
    with pytest.raises(ConfigError, match=r"has 2 prompts and num_prompts is 5; .*leave it out.*dataset_repeat: true"):
        measure(num_prompts=5)


def test_a_dataset_that_goes_round_has_another_beginning_each_time_and_the_result_says_so(measure):
    result, sent = measure(num_prompts=5, dataset_repeat=True, warmup={"iterations": 2}, load={"concurrency": 2})
    assert sorted(sent[4:]) == ["2. one", "2. two", "3. one", "one", "two"]
    assert sorted(sent[:4]) == ["w1. one", "w1. two", "w2. one", "w2. two"]
    (told,) = [each for each in result.measurement_warnings if "went round" in each]
    assert told.startswith("The dataset prompts.jsonl has 2 prompts and went round 2.5 times")
    assert result.effective_config["dataset_repeat"] is True


def test_a_dataset_that_goes_round_sends_a_hundred_prompts_without_a_number(two):
    assert len(load_prompts(ExperimentConfig(model="random:llama", dataset=two, dataset_repeat=True)).prompts) == 100


def test_the_built_in_prompts_go_round_by_themselves_unless_that_is_turned_off():
    prompts, note, _ = load_prompts(tiny_config(dataset="builtin", num_prompts=300))
    assert len(set(prompts)) == 300
    assert prompts[224] == f"2. {prompts[0]}"
    assert "builtin has 224 prompts" in note
    assert load_prompts(tiny_config(dataset="builtin", num_prompts=224)).note is None
    with pytest.raises(ConfigError, match=r"has 224 prompts and num_prompts is 300"):
        load_prompts(tiny_config(dataset="builtin", num_prompts=300, dataset_repeat=False))


def test_a_load_that_a_short_dataset_never_reaches_is_refused_before_anything_is_sent(measure):
    with pytest.raises(ConfigError, match=r"concurrency: 8 requests in flight, and num_prompts is 2: .*dataset_repeat"):
        measure(load={"concurrency": 8})


def test_processes_that_a_short_dataset_does_not_keep_busy_are_refused(two, tmp_path):
    fields = {"model": "random:llama", "device": "cpu", "dataset": two, "pytorch": {"data_parallel": 3}}
    with pytest.raises((ConfigError, PreFlightError), match="3 processes, and 2 prompts in batches of 1 make 2"):
        run_experiment(**fields, output_dir=tmp_path / "results")


def test_a_dry_run_prints_the_number_that_the_run_will_have(two):
    command = ["run", "--model", "random:llama", "--dataset", two, "--dry-run", "--json"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["num_prompts"] == 2


def test_synthetic_prompts_do_not_go_round():
    lengths = {"synthetic": {"input_len": 4, "output_len": 4}}
    with pytest.raises(ValueError, match="dataset_repeat: has no effect with a synthetic dataset"):
        ExperimentConfig(model="random:llama", dataset=lengths, dataset_repeat=True)


@examples(30)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.integers(min_value=1, max_value=40))
def test_a_round_has_the_datasets_prompts_in_their_order(prompts, count):
    sent = go_round(prompts, count)
    assert len(sent) == count
    assert all(each.endswith(prompts[place % len(prompts)]) for place, each in enumerate(sent))
    assert sent[: len(prompts)] == prompts[:count]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("talk", TALKS)
def test_a_conversation_is_rendered_with_another_beginning_wherever_its_template_sets_the_system(template, talk):
    """What two rounds have in common, a prefix cache keeps: nothing beyond the template's own first words."""
    render = Environment().from_string(TEMPLATES[template]).render  # noqa: S701
    first, second, third = (
        render(messages=[{"role": each.role, "content": each.content} for each in turns])
        for turns in (talk, begun_anew(talk, "2. "), begun_anew(talk, "3. "))
    )
    for one, other in ((first, second), (second, third), (first, third)):
        in_common = list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
        assert len(in_common) <= len("<assistant>")


def test_config_show_of_an_experiment_without_a_number_is_an_experiment_that_takes_all_prompts(two, tmp_path):
    (tmp_path / "a.yaml").write_text(f"model: random:llama\ndataset: {two}\n")
    shown = CliRunner().invoke(app, ["config", "show", "a.yaml"]).stdout
    assert "# num_prompts: not given: all of the dataset, up to 100" in shown
    (tmp_path / "copied.yaml").write_text(shown)
    written = [load_config(tmp_path / name).experiment for name in ("a.yaml", "copied.yaml")]
    assert [len(load_prompts(each).prompts) for each in written] == [2, 2]
    assert fields_in_effect(written[0]) == fields_in_effect(written[1])
    assert fields_in_effect(written[0])["num_prompts"] is None


@pytest.mark.parametrize(
    ("own", "told"), [(3, "leave it out to send all,"), (130, "leave it out to send the first 100,")]
)
def test_a_short_dataset_is_said_to_be_sent_whole_only_where_it_would_be(own, told, tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text('"a"\n' * own)
    with pytest.raises(ConfigError, match=told):
        load_prompts(ExperimentConfig(model="m", dataset=str(file), num_prompts=200))
