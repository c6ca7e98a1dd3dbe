"""Optional packages: which are missing, and the command that installs an extra."""

import pytest

from labledger.extras import install_command, missing


def test_what_is_missing_is_found_without_importing_anything():
    assert missing("json", "no_such_package", "torch") == ["no_such_package"]
    assert install_command("server") == "pip install -e '.[server]' in the clone"


def install_as(monkeypatch, folder, origin):
    """Have a distribution of ours be found that pip noted this origin of."""
    noted = folder / "labledger-9.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text("Metadata-Version: 2.1\nName: labledger\nVersion: 9\n")
    if origin is not None:
        (noted / "direct_url.json").write_text(origin)
    monkeypatch.syspath_prepend(folder)


EDITABLE, REGULAR = "pip install -e '.[sql]' in the clone", "pip install '.[sql]' in the clone"
COMPLETED = "pip install 'labledger[sql]'"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ('{"dir_info": {"editable": true}, "url": "file:///somewhere"}', EDITABLE),
        ('{"dir_info": {"editable": false}, "url": "file:///somewhere"}', REGULAR),
        ('{"dir_info": 5}', COMPLETED),
        ('{"dir_info": {}, "url": "file:///somewhere"}', REGULAR),
        ('{"archive_info": {}, "url": "file:///somewhere/labledger.whl"}', COMPLETED),
        ("[]", COMPLETED),
        ("{", COMPLETED),
        (None, COMPLETED),
    ],
)
def test_an_extra_is_installed_as_the_distribution_was_itself(monkeypatch, tmp_path, origin, command):
    install_as(monkeypatch, tmp_path, origin)
    assert install_command("sql") == command
