"""Random prompts: their lengths, what they share, and how a batch of different lengths is computed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tiny import tiny_config
from torch.utils.flop_counter import FlopCounterMode

from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.config.loading import load_config
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.errors import ConfigError
from llenergymeasure.metrics.flops import total_flops
from llenergymeasure.workload.prompts import build_requests, builtin_text
from properties import examples

UNIFORM = {"distribution": "uniform", "min": 3, "max": 40}
NORMAL = {"distribution": "normal", "mean": 12.0, "stdev": 8.0, "min": 8, "max": 30}
LOGNORMAL = {"distribution": "lognormal", "mean": 20.0, "stdev": 15.0, "min": 4, "max": 60}
KINDS = {"uniform": UNIFORM, "normal": NORMAL, "lognormal": LOGNORMAL}


def configured(count=4, seed=42, **changes):
    return tiny_config(num_prompts=count, random_seed=seed, max_input_tokens=None, max_output_tokens=None, **changes)


def requests(input_len, output_len=2, count=4, seed=42, shared_prefix=0.0):
    synthetic = {"input_len": input_len, "output_len": output_len, "shared_prefix": shared_prefix}
    config = configured(count, seed, dataset={"synthetic": synthetic})
    return build_requests(config, [], range(3, 400))


@st.composite
def lengths(draw):
    low = draw(st.integers(1, 120))
    high = draw(st.integers(low, 300))
    bell = {"mean": draw(st.floats(low, high)), "stdev": draw(st.floats(1e-3, 1e4)), "min": low, "max": high}
    return draw(
        st.sampled_from(
            [
                low,
                {"distribution": "uniform", "min": low, "max": high},
                {"distribution": "normal", **bell},
                {"distribution": "lognormal", **bell},
            ]
        )
    )


def bounds(length):
    return (length, length) if isinstance(length, int) else (length["min"], length["max"])


@examples(60)
@given(lengths(), lengths(), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_request_depends_on_the_seed_and_its_place_alone_and_keeps_to_its_limits(input_len, output_len, seed, shared):
    five = requests(input_len, output_len, 5, seed, shared)
    assert requests(input_len, output_len, 2, seed, shared) == five[:2]
    for each in five:
        assert bounds(input_len)[0] <= len(each.token_ids) <= bounds(input_len)[1]
        assert bounds(output_len)[0] <= each.max_output_tokens <= bounds(output_len)[1]
        assert each.ignore_eos
        assert all(3 <= token < 400 for token in each.token_ids)


@examples(60)
@given(lengths(), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_prompts_begin_with_heads_of_one_sequence_and_go_on_as_they_would_without_it(input_len, seed, shared):
    prompts = [each.token_ids for each in requests(input_len, seed=seed, shared_prefix=shared)]
    alone = [each.token_ids for each in requests(input_len, seed=seed)]
    heads = [round(shared * len(ids)) for ids in prompts]
    longest = max(zip(heads, prompts, strict=True))
    for head, ids, own in zip(heads, prompts, alone, strict=True):
        assert ids[:head] == longest[1][:head]
        assert ids[head:] == own[head:]


def test_what_is_shared_is_what_was_asked_for_and_no_more():
    for shared, head in [(0.0, 0), (0.5, 50), (1.0, 100)]:
        one, two, *_ = (each.token_ids for each in requests(100, shared_prefix=shared))
        assert one[:head] == two[:head]
        assert head == 100 or sum(a == b for a, b in zip(one[head:], two[head:], strict=True)) < 5


def test_another_seed_shares_another_prefix():
    heads = [requests(100, seed=seed, shared_prefix=0.5)[0].token_ids[:50] for seed in (1, 2)]
    assert sum(a == b for a, b in zip(*heads, strict=True)) < 5


def test_input_and_output_lengths_are_drawn_apart():
    drawn = requests(UNIFORM, UNIFORM, 200)
    inputs, outputs = [len(each.token_ids) for each in drawn], [each.max_output_tokens for each in drawn]
    assert abs(np.corrcoef(inputs, outputs)[0, 1]) < 0.2


def shares(length, count):
    drawn = [each.max_output_tokens for each in requests(1, length, count)]
    low, high = bounds(length)
    return np.array([drawn.count(value) for value in range(low, high + 1)])


def expected(length):
    """The probability of each whole number from min to max, by scipy's own distributions."""
    low, high = bounds(length)
    if length["distribution"] == "uniform":
        return np.full(high - low + 1, 1 / (high - low + 1))
    if length["distribution"] == "normal":
        whole = stats.norm(length["mean"], length["stdev"])
    else:
        sigma = math.sqrt(math.log(1 + (length["stdev"] / length["mean"]) ** 2))
        whole = stats.lognorm(sigma, scale=length["mean"] / math.exp(sigma**2 / 2))
        assert (whole.mean(), whole.std()) == pytest.approx((length["mean"], length["stdev"]))
    mass = np.diff(whole.cdf(np.arange(low, high + 2) - 0.5))
    return mass / mass.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_lengths_have_the_distribution_that_was_asked_for(kind):
    found, probability = shares(KINDS[kind], 6000), expected(KINDS[kind])
    assert stats.chisquare(found, probability * found.sum()).pvalue > 0.01


def written(tmp_path, synthetic):
    path = tmp_path / "experiment.yaml"
    path.write_text(f"model: random:llama\ndataset:\n  synthetic:\n{synthetic}")
    return path


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("    input_len: 0\n    output_len: 1\n", ":4: dataset.synthetic.input_len: should be greater than or equal"),
        ("    input_len: many\n    output_len: 1\n", ":4: dataset.synthetic.input_len: should be a valid integer"),
        (
            "    input_len: {distribution: uniform, min: 9, max: 8}\n    output_len: 1\n",
            ":4: dataset.synthetic.input_len.min: 9 is more than max 8",
        ),
        (
            "    input_len: 1\n    output_len: {distribution: uniform, min: 0, max: 8}\n",
            ":5: dataset.synthetic.output_len.min: should be greater than or equal to 1",
        ),
        (
            "    input_len: 1\n    output_len: {distribution: normal, mean: 90, stdev: 2, max: 8}\n",
            ":5: dataset.synthetic.output_len.mean: 90 is not between min 1 and max 8",
        ),
        (
            "    input_len: 1\n    output_len: {distribution: normal, mean: 3, stdev: 2, min: 4, max: 8}\n",
            ":5: dataset.synthetic.output_len.mean: 3 is not between min 4 and max 8",
        ),
        (
            "    input_len: 1\n    output_len: {distribution: lognormal, mean: 4, stdev: 0, max: 8}\n",
            ":5: dataset.synthetic.output_len.stdev: should be greater than 0",
        ),
        (
            "    input_len: {distribution: normal, mean: 4, stdev: 1}\n    output_len: 1\n",
            ":4: dataset.synthetic.input_len.max: required, and missing",
        ),
        (
            "    input_len: {distribution: normal, mean: 4, sdev: 1, stdev: 1, max: 8}\n    output_len: 1\n",
            ":4: dataset.synthetic.input_len.sdev: unknown key (did you mean stdev?)",
        ),
        (
            "    input_len: {distribution: gauss, mean: 4}\n    output_len: 1\n",
            ":4: dataset.synthetic.input_len: distribution: 'gauss' is not known (known: uniform, normal, lognormal)",
        ),
        (
            "    input_len: {mean: 4}\n    output_len: 1\n",
            ":4: dataset.synthetic.input_len: distribution: required, and missing",
        ),
        (
            "    input_len: 4\n    output_len: 1\n    shared_prefix: 1.5\n",
            ":6: dataset.synthetic.shared_prefix: should be less than or equal to 1",
        ),
    ],
)
def test_lengths_that_make_no_sense_are_refused_with_their_place(tmp_path, lines, problem):
    with pytest.raises(ConfigError) as error:
        load_config(written(tmp_path, lines))
    assert problem in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_shows_the_lengths_that_were_asked_for(kind):
    config = configured(dataset={"synthetic": {"input_len": KINDS[kind], "output_len": 5, "shared_prefix": 0.25}})
    shown = config.in_effect()
    assert shown["dataset"]["synthetic"] == {"input_len": KINDS[kind], "output_len": 5, "shared_prefix": 0.25}
    assert ExperimentConfig.model_validate(shown) == config


def test_prompts_are_never_cut_below_the_longest_that_may_be_drawn():
    with pytest.raises(ValueError, match=r"max_input_tokens: is less than dataset\.synthetic\.input_len can be"):
        tiny_config(
            dataset={"synthetic": {"input_len": UNIFORM, "output_len": 1}}, max_input_tokens=39, max_output_tokens=None
        )


def ready(**changes):
    config = configured(**changes)
    backend = PytorchBackend(config, builtin_text)
    facts = backend.load()
    asked = build_requests(config, [], facts.prompt_tokens)
    backend.prepare(asked)
    return backend, facts, asked


DRAWN = {"synthetic": {"input_len": UNIFORM, "output_len": {"distribution": "uniform", "min": 1, "max": 20}}}


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_each_request_of_a_batch_stops_at_its_own_length_and_the_batch_goes_on_to_the_longest(cache):
    pytorch = {"cache": cache, "attn_implementation": "eager"}
    backend, facts, asked = ready(count=5, batch_size=3, dataset=DRAWN, pytorch=pytorch)
    with FlopCounterMode(display=False) as counter:
        batches = list(backend.run())
    served = [each for batch in batches for each in batch.requests]
    assert [each.output_tokens for each in served] == [each.max_output_tokens for each in asked]
    assert [each.input_tokens for each in served] == [len(each.token_ids) for each in asked]
    assert all(len(each.token_times_s) == each.output_tokens for each in served)
    assert {each.finish_reason for each in served} == {"length"}
    for batch in batches:
        assert len(batch.step_times_s) == max(each.output_tokens for each in batch.requests)
    assert len({each.output_tokens for each in batches[0].requests}) > 1
    counted = total_flops(facts.shape, batches, batches[0].start_s, batches[-1].end_s)
    assert counted == pytest.approx(counter.get_total_flops(), rel=1e-3)
