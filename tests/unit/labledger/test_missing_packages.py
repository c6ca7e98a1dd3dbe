"""An import that fails is said in words: what to install, or, of a package of ours, that it is a defect."""

import pytest
import typer
from typer.testing import CliRunner

from labledger.commands import reporting_errors
from labledger.extras import install_command, missing


def command_that_imports(name):
    app = typer.Typer()

    @app.callback()
    def program(debug: bool = False) -> None:
        pass

    @app.command("go")
    @reporting_errors
    def go(ctx: typer.Context) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    return app


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("torch", "pip install -e '.[pytorch]'"),
        ("huggingface_hub.errors", "pip install -e '.[pytorch]'"),
        ("duckdb", "pip install -e '.[sql]'"),
        ("somebodys_package.part", "pip install somebodys_package"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it(name, command):
    ended = CliRunner().invoke(command_that_imports(name), ["go"])
    assert (ended.exit_code, ended.stderr) == (2, f"error: {name.partition('.')[0]} is not installed; run {command}\n")


def test_a_module_of_ours_that_is_missing_is_a_defect():
    ended = CliRunner().invoke(command_that_imports("llenergymeasure.no_such_module"), ["go"])
    assert ended.exit_code == 1
    assert "This is a defect of" in ended.stderr


def test_what_is_missing_is_found_without_importing_anything():
    assert missing("json", "no_such_package", "torch") == ["no_such_package"]
    assert install_command("server") == "pip install -e '.[server]'"
