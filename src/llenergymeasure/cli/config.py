"""`llem config`: show configurations and their schema, and begin the user's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labledger.commands import make_group, reporting_errors
from labledger.json_text import dump_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from llenergymeasure.config.loading import LoadedConfig
    from llenergymeasure.config.models import ExperimentConfig

config_app = make_group("Show configurations and their schema; begin your own.")


@config_app.command()
@reporting_errors
def show(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="YAML file of an experiment or a study.")],
) -> None:
    """Print an experiment as it resolves: defaults, then the user configuration, then the YAML; of a study its plan."""
    from labledger.yaml_files import read_yaml
    from llenergymeasure.cli.study_plan import print_plan
    from llenergymeasure.config.loading import is_study, load_config
    from llenergymeasure.config.study.loading import load_study
    from llenergymeasure.run.preflight import refuse_environment_keys

    if is_study(read_yaml(config)):
        print_plan(load_study(config), Path("results"), as_json=False)
        return
    loaded = load_config(config)
    refuse_environment_keys(loaded.experiment)
    print_config(loaded, as_json=False)


@config_app.command()
@reporting_errors
def schema(ctx: typer.Context) -> None:
    """Print the JSON Schema of the YAML of an experiment or a study, for editors."""
    from labledger.console import print_json
    from llenergymeasure.config.study.schema import file_schema

    print_json(dump_json(file_schema()))


@config_app.command()
@reporting_errors
def init(ctx: typer.Context) -> None:
    """Write a user configuration in which every key is explained and commented out; one that is there stays."""
    from labledger.console import print_line
    from llenergymeasure.config.loading import user_config_path
    from llenergymeasure.config.user_file import write_user_file

    path = user_config_path()
    write_user_file(path)
    print_line(f"written: {path}; remove the # before a key to set it")


def print_config(loaded: "LoadedConfig", *, as_json: bool) -> None:
    """Print the resolved experiment, as YAML that names the files that it came from, or as JSON."""
    import io

    from labledger.console import print_answer, print_json

    fields = fields_in_effect(loaded.experiment)
    if as_json:
        print_json(dump_json(fields))
        return
    from ruamel.yaml import YAML

    from labledger.untrusted_text import clean_lines

    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    open_number = fields["num_prompts"] is None
    if open_number:
        del fields["num_prompts"]
    yaml.dump(fields, text)
    if clean_lines(text.getvalue()) != text.getvalue():  # escape all but ASCII: it is then the same once read
        yaml.allow_unicode = False
        text = io.StringIO()
        yaml.dump(fields, text)
    head = f"# from: {', '.join(['defaults', *map(str, loaded.files)])}\n"
    for line in loaded.not_used:
        head += f"# not used: {line}\n"
    if open_number:
        whole = "task" if loaded.experiment.task is not None else "dataset"
        head += f"# num_prompts: not given: all of the {whole}, up to {loaded.experiment.num_prompts}\n"
    print_answer(f"{head}{text.getvalue().rstrip()}")


def fields_in_effect(experiment: "ExperimentConfig") -> dict[str, "JsonValue"]:
    """Return the fields that have an effect; `num_prompts` is None where the dataset, not read yet, has it."""
    from llenergymeasure.config.fields import takes_all_prompts

    fields = experiment.in_effect()
    return {**fields, "num_prompts": None} if takes_all_prompts(experiment) else fields
