"""`llem config`: show configurations and their schema."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json

if TYPE_CHECKING:
    from llenergymeasure.config.loading import LoadedConfig

config_app = typer.Typer(no_args_is_help=True, help="Show configurations and their schema.")


@config_app.command()
@reporting_errors
def show(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="YAML file of an experiment.")],
) -> None:
    """Print an experiment as it resolves: defaults, then the user configuration, then the YAML."""
    from llenergymeasure.config.loading import load_config
    from llenergymeasure.run.preflight import refuse_environment_keys

    loaded = load_config(config)
    refuse_environment_keys(loaded.experiment)
    print_config(loaded, as_json=False)


@config_app.command()
@reporting_errors
def schema(ctx: typer.Context) -> None:
    """Print the JSON Schema of an experiment's YAML, for editors."""
    from labledger.console import print_json
    from llenergymeasure.config.models import ExperimentConfig

    print_json(dump_json(ExperimentConfig.model_json_schema()))


def print_config(loaded: "LoadedConfig", *, as_json: bool) -> None:
    """Print the resolved experiment, as YAML that names the files that it came from, or as JSON."""
    import io

    from labledger.console import print_answer, print_json

    fields = loaded.experiment.in_effect()
    if as_json:
        print_json(dump_json(fields))
        return
    from ruamel.yaml import YAML

    from labledger.untrusted_text import clean_lines

    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(fields, text)
    if clean_lines(text.getvalue()) != text.getvalue():  # escape all but ASCII: it is then the same once read
        yaml.allow_unicode = False
        text = io.StringIO()
        yaml.dump(fields, text)
    print_answer(f"# from: {', '.join(['defaults', *map(str, loaded.files)])}\n{text.getvalue().rstrip()}")
