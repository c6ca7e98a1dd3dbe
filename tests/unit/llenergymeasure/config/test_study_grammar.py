"""A study's file and flags: its cells, and what is refused at which line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.errors import ConfigError
from llenergymeasure.config.fields import value_at
from llenergymeasure.config.loading import load_config
from llenergymeasure.config.study.loading import load_study
from llenergymeasure.config.study.names import cell_names
from llenergymeasure.config.study.schema import file_schema
from llenergymeasure.config.study.sections import FOLDER_NAME, safe_name
from properties import examples


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Load a study from its text, as `study.yaml` in the working directory; flags are keywords."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text("model: random:llama\nbatch_size: 2\nprecision: fp32\n")

    def load(text, *arguments, **flags):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_study(path.relative_to(tmp_path), *arguments, **flags)

    return load


@pytest.fixture
def problems(study):
    """Return the lines of the error with which a study is refused."""

    def lines(text, *arguments, **flags):
        with pytest.raises(ConfigError) as error:
            study(text, *arguments, **flags)
        return str(error.value).splitlines()

    return lines


def names(study):
    return [cell.name for cell in study.cells]


def values(study, *paths):
    return [tuple(value_at(cell.config.in_effect(), path) for path in paths) for cell in study.cells]


def test_cells_are_the_product_of_the_axes_and_then_the_experiments(study):
    found = study(
        "base: base.yaml\n"
        "sweep: {batch_size: [1, 8], precision: [fp32, bf16]}\n"
        "experiments: [{batch_size: 16, decoder.ignore_eos: true}]\n"
    )
    assert values(found, "batch_size", "precision", "decoder.ignore_eos") == [
        (1, "fp32", False),
        (1, "bf16", False),
        (8, "fp32", False),
        (8, "bf16", False),
        (16, "fp32", True),
    ]
    assert names(found)[:2] == ["batch_size 1, precision fp32", "batch_size 1, precision bf16"]
    assert names(found)[4] == "batch_size 16, decoder.ignore_eos true"


def test_without_axes_the_experiments_are_the_cells_and_without_both_the_base_is(study):
    assert values(study("base: base.yaml\nexperiments: [{}, {batch_size: 4}]\n"), "batch_size") == [(2,), (4,)]
    alone = study("study:\nbase: base.yaml\n")
    assert (alone.name, names(alone), values(alone, "batch_size")) == ("study", ["base"], [(2,)])


def test_axes_reach_flags_of_servers_arguments_and_lengths_and_move_together(study):
    found = study(
        "model: some/model\nbackend: openai\nlaunch: vllm\nopenai: {endpoint: completions}\n"
        "dataset: {synthetic: {input_len: 8, output_len: 8}}\n"
        "sweep:\n"
        "  launch.flags.max-num-seqs: [64, 256]\n"
        "  passthrough_kwargs.x: [{a: 1}]\n"
        '  "dataset.synthetic.input_len+num_prompts": [[16, 32], [64, 8]]\n'
    )
    paths = ("launch.flags.max-num-seqs", "launch.preset", "passthrough_kwargs.x.a", "dataset.synthetic.input_len")
    assert values(found, *paths, "num_prompts") == [
        (64, "vllm", 1, 16, 32),
        (64, "vllm", 1, 64, 8),
        (256, "vllm", 1, 16, 32),
        (256, "vllm", 1, 64, 8),
    ]
    assert names(found)[0] == "max-num-seqs 64, dataset.synthetic.input_len 16, num_prompts 32"


def test_user_configuration_base_file_cell_and_flags_override_each_other_in_this_order(study, tmp_path):
    own = tmp_path / "config" / "llenergymeasure" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("random_seed: 1\nbatch_size: 1\nprecision: fp16\nmax_output_tokens: 1\nnum_prompts: 1\n")
    text = "base: base.yaml\nprecision: bf16\nsweep: {max_output_tokens: [3, 4]}\nexperiments: [{num_prompts: 9}]\n"
    found = study(text, {"num_prompts": 7}, settings={"decoder.ignore_eos": True})
    paths = ("random_seed", "batch_size", "precision", "max_output_tokens", "num_prompts", "decoder.ignore_eos")
    assert values(found, *paths) == [
        (1, 2, "bf16", 3, 7, True),
        (1, 2, "bf16", 4, 7, True),
        (1, 2, "bf16", 1, 7, True),
    ]


def test_a_sweep_flag_takes_the_place_of_the_axis_of_the_file_and_makes_a_study_of_a_plain_file(study):
    both = study("base: base.yaml\nsweep: {batch_size: [1], precision: [fp16]}\n", sweep={"batch_size": [4, 8]})
    assert values(both, "batch_size", "precision") == [(4, "fp16"), (8, "fp16")]
    assert list(both.cells[0].changes) == ["batch_size", "precision"]
    plain = study("model: random:llama\n", sweep={"batch_size": [4, 8]}, repeats=5)
    assert (values(plain, "batch_size"), plain.settings.repeats, plain.name) == ([(4,), (8,)], 5, "study")
    without_file = load_study(None, {"model": "random:llama"}, sweep={"batch_size": [4, 8]})
    assert without_file.name == "study-random-llama"


def test_every_problem_of_a_study_is_told_at_once_with_its_line(problems):
    found = problems(
        "study: {name: a/b, repeat: 3}\n"
        "base: nowhere.yaml\n"
        "modl: x\n"
        "sweep:\n"
        "  batch_sise: [1]\n"
        "  precision: fp32\n"
        "  decoder.top_p: []\n"
        "  concurrency: [1]\n"
        '  "batch_size+num_prompts": [[1, 32], [8]]\n'
        "  max_output_tokens.x: [1]\n"
        "experiments: [{modle: x}, 7]\n"
        "resources: {GPU: 1}\n"
    )
    expected = [
        ("1: study.name: ", "no name of a folder"),
        ("1: study.repeat: ", "did you mean repeats?"),
        ("2: base: ", "nowhere.yaml: no such file"),
        ("3: modl: ", "did you mean model?"),
        ("5: sweep.batch_sise: ", "did you mean batch_size?"),
        ("6: sweep.precision: ", "no list"),
        ("7: sweep.decoder.top_p: ", "an empty list"),
        ("8: sweep.concurrency: ", "did you mean load.concurrency?"),
        ("9: sweep.batch_size+num_prompts: ", "row 2 is of 1 values, for 2 fields"),
        ("10: sweep.max_output_tokens.x: ", "max_output_tokens has no fields of its own"),
        ("11: experiments: ", "entry 2 is no section"),
        ("11: modle: ", "did you mean model?"),
        ("12: resources: ", "unknown key"),
    ]
    assert len(found) == len(expected)
    for line, (head, tail) in zip(found, expected, strict=True):
        assert line.startswith(f"study.yaml:{head}")
        assert tail in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sweep: {batch_size: [1], 'batch_size+num_prompts': [[1, 2]]}", "study.yaml:2: batch_size: on the axis "),
        ("sweep: {decoder: [{}], decoder.top_k: [1]}", "study.yaml:2: decoder.top_k: on the axis decoder "),
        ("sweep:", "study.yaml:2: sweep: names no axis"),
        ("experiments: {}", "study.yaml:2: experiments: no entry"),
        ("experiments: [{decoder.top_k: 1, decoder: {top_k: 2}}]", "study.yaml:2: decoder: given by decoder.top_k"),
        ("study: 4", "study.yaml:2: study: should be a section"),
        ("sweep: {decoder: {top_k: [1, 4]}}", "study.yaml:2: sweep.decoder: no list; write decoder.top_k: [1, 4]"),
        ("sweep: {'batch_size+num_prompts': [1]}", "study.yaml:2: sweep.batch_size+num_prompts: row 1 is no list, for"),
        ("experiments: [{name: a}]", "study.yaml:2: name: no field: a cell is named after the fields in which it"),
        ("stop: {half_width: 0.03}\nstudy:", "study.yaml:2: stop.half_width: 0.03 is 0.03 %; write 3% or, if that is"),
        (
            "study: {repeats: 4}\nstop: {half_width: 3%, max_repeats: 2}",
            "study.yaml:3: stop.max_repeats: 2 rounds at the most, and study.repeats asks for 4",
        ),
    ],
)
def test_axes_and_entries_that_contradict_each_other_are_refused(problems, text, line):
    assert problems(f"base: base.yaml\n{text}\n")[0].startswith(line)


def test_a_list_for_a_field_of_one_value_names_the_sweep_it_would_be_in_a_file_a_flag_and_a_call(problems):
    wrong = "should be a valid integer, found [1, 4]; for one run of each"
    assert problems("base: base.yaml\nstudy:\nbatch_size: [1, 4]\n") == [
        f"study.yaml:3: batch_size: {wrong} write sweep: {{batch_size: [1, 4]}}"
    ]
    plain = "model: random:llama\nstudy:\n"
    assert problems(plain, settings={"decoder.top_k": [1, 4]}) == [
        f"--set decoder.top_k: {wrong} write --sweep 'decoder.top_k=[1, 4]'"
    ]
    assert problems(plain, {"batch_size": [1, 4]}, field_prefix="") == [
        f'batch_size: {wrong}: run_study(..., sweep={{"batch_size": [1, 4]}})'
    ]
    assert "sweep" not in problems(plain + "launch: [1, 2]\n")[0]


def test_rows_of_a_sweep_flag_are_shown_as_a_flag_has_them_and_rounds_are_one_at_least(problems):
    (line,) = problems("model: random:llama\n", sweep={"batch_size+num_prompts": ["1/8"]})
    assert line.endswith("write rows, as --sweep 'batch_size+num_prompts=[1, 1],[8, 8]'")
    assert problems("study:\nbase: base.yaml\n", repeats=0, field_prefix="") == [
        "repeats: 0 is no number of rounds of 1 or more"
    ]


def test_a_field_that_is_an_axis_and_set_for_every_cell_is_refused_with_both(problems):
    text = "base: base.yaml\nsweep: {batch_size: [1, 8], decoder.top_k: [1]}\n"
    assert problems(text, {"batch_size": 3}, settings={"decoder": {}}) == [
        "--batch-size: batch_size is an axis as well (study.yaml:2); leave one of the two out",
        "--set decoder: decoder.top_k is an axis as well (study.yaml:2); leave one of the two out",
    ]


def test_a_cell_that_is_refused_is_named_at_the_line_of_its_value_once_for_all_cells(problems):
    text = "base: base.yaml\nsweep:\n  batch_size:\n  - 1\n  - 0\n  precision: [fp32, bf16, fp16]\n"
    cells = "cell 4: batch_size 0, precision fp32; cell 5: batch_size 0, precision bf16; and 1 more"
    wrong = "batch_size: should be greater than or equal to 1, found 0"
    assert problems(text) == [f"study.yaml:5: {wrong} ({cells})"]
    shared = problems("base: base.yaml\npooling: 1\nsweep: {batch_size: [1, 8]}\n")
    assert [line.partition(" (known")[0] for line in shared] == ["study.yaml:2: pooling: unknown key"]


def test_cells_that_are_the_same_are_both_named_however_they_are_written(problems, tmp_path):
    (tmp_path / "m").mkdir()
    assert problems("base: base.yaml\nsweep:\n  batch_size: [1, 2]\nexperiments:\n- {}\n") == [
        "study.yaml:5: cell 2: batch_size 2 and cell 3: base: the same configuration; leave one out"
    ]
    (line,) = problems("sweep:\n  model:\n  - ./m\n  - " + str(tmp_path / "m") + "\n")
    assert line.startswith("study.yaml:4: cell 1: model ./m and cell 2: ")
    assert "the same configuration" in line


def test_over_ten_thousand_cells_are_counted_and_not_made(problems):
    axes = f"batch_size: {list(range(1, 31))}, random_seed: {list(range(40))}, num_prompts: {list(range(30, 40))}"
    assert problems(f"base: base.yaml\nsweep: {{{axes}}}\n") == [
        "study.yaml:2: 30 x 40 x 10 = 12,000 cells, and a study has 10,000 at the most"
    ]


def test_more_runs_than_a_study_may_have_are_counted_and_not_made(problems):
    text = "model: random:llama\nstudy: {repeats: 1000000000}\nsweep: {batch_size: [1, 2]}\n"
    many = "2 cells x 1,000,000,000 rounds = 2,000,000,000 runs, and a study has 100,000 at the most"
    assert problems(text) == [f"study.yaml:2: study.repeats: {many}"]
    assert problems(text, repeats=10**9) == [f"--repeat: {many}"]
    stop = "stop: {half_width: 3%, max_repeats: 1000000000}\n"
    assert problems(text.replace("1000000000", "3") + stop) == [f"study.yaml:4: stop.max_repeats: {many}"]


def test_what_looks_like_a_key_is_never_repeated(problems):
    key = "hunter2-QmVzdFNlY3JldEV2ZXI3"
    lines = problems(
        f"base: base.yaml\nsweep: {{passthrough_kwargs.api_key: [{key}, {key}2], batch_size: [0, {key}]}}\n"
    )
    assert lines
    assert not any("hunter2" in line or "QmVz" in line for line in lines)
    lines = problems(f"base: base.yaml\nsweep: {{batch_size: {key}, {key}: [1]}}\n")
    assert len(lines) == 2
    assert not any("hunter2" in line or "QmVz" in line for line in lines)


def test_a_base_that_is_a_study_and_a_study_among_plain_files_are_refused(problems, study, tmp_path):
    (tmp_path / "other.yaml").write_text("study:\nmodel: m\n")
    assert problems("base: other.yaml\nsweep: {batch_size: [1]}\n")[0].startswith("study.yaml:1: base: other.yaml is a")
    with pytest.raises(ConfigError, match=r"other\.yaml:1: study: the file is a study"):
        load_config(tmp_path / "other.yaml")
    (tmp_path / "plain.yaml").write_text("base: base.yaml\nsweeep: {}\n")
    with pytest.raises(
        ConfigError,
        match=r"(?s)base: is for studies alone, and nothing makes one.*sweeep: unknown key \(did you mean sweep\?\)",
    ):
        load_config(tmp_path / "plain.yaml")


def test_a_base_that_cannot_be_read_is_told_at_its_line(problems, tmp_path):
    (tmp_path / "folder").mkdir()
    (line,) = problems("base: folder\nsweep: {batch_size: [1]}\n")
    assert line.startswith("study.yaml:1: base: folder: cannot be read: is a directory")


def test_models_are_named_by_their_last_part_where_that_tells_them_apart():
    def of(*models):
        return cell_names([{"model": each, "batch_size": 1} for each in models], ["model"])

    assert of("org/Llama-3-8B", "./runs/other/") == ["model Llama-3-8B", "model other"]
    assert of("a/m", "b/m") == ["model a/m", "model b/m"]


changes = st.dictionaries(
    st.sampled_from(["a", "b.c", "launch.flags.d", "passthrough_kwargs.d"]),
    st.one_of(st.integers(), st.text(), st.lists(st.text(max_size=40), max_size=9), st.none(), st.booleans()),
)


@examples(25)
@given(st.lists(changes, max_size=5))
def test_names_of_cells_are_unique(cells):
    found = cell_names(cells, ["a", "b.c", "launch.flags.d", "passthrough_kwargs.d"])
    assert len(set(found)) == len(found) == len(cells)


@examples(60)
@given(st.text())
def test_any_name_of_a_file_makes_a_name_of_a_folder(text):
    assert FOLDER_NAME.fullmatch(safe_name(text))


def test_the_stem_of_a_file_is_made_a_name_of_a_folder():
    assert [safe_name(each) for each in ("größe 2", ".hidden", "...", "a+b (1)")] == [
        "grosse-2",
        "hidden",
        "study",
        "a-b-1",
    ]


def test_the_schema_has_the_keys_of_studies_with_their_meaning():
    schema = file_schema()
    assert {"study", "sweep", "experiments", "base", "gaps", "stop", "model"} <= schema["properties"].keys()
    assert all(schema["properties"][key]["description"] for key in ("sweep", "experiments", "base"))
    assert "load.concurrency" in schema["properties"]["sweep"]["properties"]
    assert {"required": ["sweep"]} in schema["anyOf"]
