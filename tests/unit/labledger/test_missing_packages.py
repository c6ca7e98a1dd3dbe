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


def install_as(monkeypatch, folder, origin):
    """Have a distribution of ours be found that pip noted this origin of."""
    noted = folder / "labledger-9.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text("Metadata-Version: 2.1\nName: labledger\nVersion: 9\n")
    if origin is not None:
        (noted / "direct_url.json").write_text(origin)
    monkeypatch.syspath_prepend(folder)


CHECKOUT, COMPLETED = "pip install -e '.[sql]'", "pip install 'labledger[sql]'"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ('{"dir_info": {"editable": true}, "url": "file:///somewhere"}', CHECKOUT),
        ('{"dir_info": {}, "url": "file:///somewhere"}', CHECKOUT),
        ('{"archive_info": {}, "url": "file:///somewhere/labledger.whl"}', COMPLETED),
        ("[]", COMPLETED),
        ("{", COMPLETED),
        (None, COMPLETED),
    ],
)
def test_an_extra_is_installed_as_the_distribution_was_itself(monkeypatch, tmp_path, origin, command):
    install_as(monkeypatch, tmp_path, origin)
    assert install_command("sql") == command
