"""The state folder is its owner's alone, and one that somebody else prepared is not used."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rwt_assets.cli.main import app
from rwt_assets.embedded import stack
from rwt_assets.embedded.state_folder import make_state_folder, open_lock
from rwt_assets.runtime.errors import StateFolderError
from rwt_assets.terminal.env_file import load_env_file

SOMEBODY = 12_345


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def give_away(path, monkeypatch):
    """Have a file, a folder or a link belong to another user than this process."""
    if os.geteuid() == 0:
        os.lchown(path, SOMEBODY, SOMEBODY)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)


@pytest.fixture
def of_another(tmp_path, monkeypatch):
    """A state folder in which another user's stack runs."""
    state = tmp_path / ".rwt"
    state.mkdir()
    record = stack.StackRecord(pid=1, ui_url="http://evil.example", endpoint_url="http://evil")
    (state / stack.STACK_FILE).write_text(record.model_dump_json())
    give_away(state, monkeypatch)
    return state


@pytest.mark.parametrize("there", ["", "empty", "used"])
def test_it_is_its_owners_alone_before_anything_is_written(tmp_path, there):
    folder = tmp_path / "a" / "state"
    if there:
        folder.mkdir(mode=0o755, parents=True)
    if there == "used":
        (folder / "lock").touch()
    make_state_folder(folder)
    assert mode(folder) == 0o700


def test_one_with_another_use_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "a.txt").touch()
    make_state_folder(tmp_path)
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("bits", [0o777, 0o775, 0o1777])
def test_one_with_another_use_in_which_others_may_write_is_refused(tmp_path, bits):
    (tmp_path / "a.txt").touch()
    tmp_path.chmod(bits)
    with pytest.raises(StateFolderError, match="other users of this machine may write"):
        make_state_folder(tmp_path)


def test_one_of_another_user_is_refused(of_another):
    with pytest.raises(StateFolderError, match="belongs to another user"):
        make_state_folder(of_another)
    assert [path.name for path in of_another.iterdir()] == [stack.STACK_FILE]


@pytest.fixture
def link_of_another(tmp_path, monkeypatch):
    """A link of another user to a folder of our own."""
    own, link = tmp_path / "own", tmp_path / "link"
    own.mkdir(mode=0o700)
    link.symlink_to(own)
    give_away(link, monkeypatch)
    return link


@pytest.mark.parametrize("below", ["", "state", "a/state"])
def test_one_to_which_a_link_of_another_user_leads_is_refused(link_of_another, below):
    with pytest.raises(StateFolderError, match="is a link of another user"):
        make_state_folder(link_of_another / below)
    assert [*link_of_another.iterdir()] == []


def test_a_link_of_our_own_that_leads_through_one_of_another_user_is_refused(link_of_another):
    ours = link_of_another.parent / "ours"
    ours.symlink_to(link_of_another / "state")
    with pytest.raises(StateFolderError, match="is a link of another user"):
        make_state_folder(ours)


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StateFolderError, match="nothing can be written"):
        make_state_folder(tmp_path / "a" / "state")


@pytest.mark.parametrize("name", ["a%20b", "what?", "100%"])
def test_a_folder_that_dagsters_databases_would_not_lie_in_is_refused(tmp_path, name):
    with pytest.raises(StateFolderError, match=r"takes .* in a path for something else"):
        make_state_folder(tmp_path / name / "state")
    assert not (tmp_path / name).exists()


def test_a_link_of_our_own_is_followed(tmp_path):
    own, link = tmp_path / "own", tmp_path / "link"
    own.mkdir()
    link.symlink_to(own)
    make_state_folder(link / "state")
    assert mode(own / "state") == 0o700


@pytest.mark.parametrize("target", ["there", "not there"])
def test_a_lock_that_is_a_link_is_not_followed(tmp_path, target):
    elsewhere, state = tmp_path / "elsewhere", tmp_path / "state"
    if target == "there":
        elsewhere.write_text("precious")
    state.mkdir()
    (state / "lock").symlink_to(elsewhere)
    with pytest.raises(StateFolderError, match="nothing can be written"):
        open_lock(state)
    assert elsewhere.exists() == (target == "there")
    assert target == "not there" or elsewhere.read_text() == "precious"


def test_the_lock_is_its_owners_alone(tmp_path):
    open_lock(tmp_path).close()
    assert mode(tmp_path / "lock") == 0o600


@pytest.mark.parametrize(
    "command", [["status"], ["sweep"], ["trace", "a.zip"], ["up"], ["quarantine", "list"]]
)
def test_no_command_goes_by_the_state_of_another_user(of_another, monkeypatch, command):
    monkeypatch.chdir(of_another.parent)
    for name in ("DAGSTER_HOME", "RWT_STATE", "RWT_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 2, answer.output
    assert "belongs to another user" in " ".join(answer.stderr.split())
    assert "evil" not in answer.output
    assert dict(os.environ) == before


@pytest.fixture
def env_of_another(tmp_path, monkeypatch):
    """A folder in which another user has laid settings."""
    file = tmp_path / ".env"
    file.write_text("DAGSTER_HOME=/evil\nAWS_ENDPOINT_URL=http://evil.example\n")
    give_away(file, monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("DAGSTER_HOME", "RWT_STATE", "RWT_STORAGE_URL", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    return file


@pytest.mark.parametrize("laid", ["file", "link"])
@pytest.mark.parametrize(
    "command",
    [["status"], ["submit", "a.zip"], ["up"], ["demo"], ["doctor"], ["feed", "preview", "a.zip"]],
)
def test_no_command_goes_by_the_settings_of_another_user(env_of_another, command, laid):
    (env_of_another.parent / "a.zip").write_bytes(b"")
    if laid == "link":
        (env_of_another.parent / "x").symlink_to(env_of_another.rename("theirs"))
        (env_of_another.parent / "x").rename(".env")
    before = dict(os.environ)
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 2, answer.output
    assert "the file .env here belongs to another user" in " ".join(answer.stderr.split())
    assert "evil" not in answer.output
    assert dict(os.environ) == before


def test_settings_of_our_own_are_taken(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("RWT_OF_OUR_OWN=yes\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RWT_OF_OUR_OWN", "")  # so that it is as it was afterwards
    monkeypatch.delenv("RWT_OF_OUR_OWN")
    load_env_file()
    assert os.environ["RWT_OF_OUR_OWN"] == "yes"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://rwt:hunter22@localhost/rwt",
        "postgresql://rwt:hun@ter22@localhost/rwt",
        "postgresql://rwt@localhost/rwt?password=hunter22",
        "postgresql:///rwt?host=localhost&user=rwt&sslpassword=hunter22",
    ],
)
def test_a_password_that_was_typed_is_refused_and_the_variable_is_named(tmp_path, url):
    answer = CliRunner().invoke(app, ["up", "--state", str(tmp_path / "s"), "--storage", url])
    assert answer.exit_code == 2
    said = " ".join(answer.stderr.split())
    assert "RWT_STORAGE_URL" in said
    assert "hun" not in said
    assert not (tmp_path / "s").exists()


def test_a_password_in_an_endpoint_that_was_typed_is_refused(tmp_path):
    url = "http://rwt:hunter22@localhost:4566"
    answer = CliRunner().invoke(app, ["up", "--state", str(tmp_path / "s"), "--endpoint", url])
    assert answer.exit_code == 2
    assert "RWT_ENDPOINT_URL" in answer.stderr
    assert "hunter22" not in answer.output


def test_a_password_of_the_environment_and_a_url_without_one_are_taken(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(stack, "EmbeddedStack", lambda *_, storage, **__: taken.append(storage))
    monkeypatch.setattr("rwt_assets.cli.main.refuse_unloadable", lambda **_: None)
    monkeypatch.setenv("RWT_STORAGE_URL", "postgresql://rwt:hunter22@localhost/rwt")
    state = ["up", "--state", str(tmp_path / "s")]
    runner = CliRunner()
    runner.invoke(app, state)
    runner.invoke(app, [*state, "--storage", "postgresql://rwt@localhost/rwt"])
    assert taken == [
        "postgresql://rwt:hunter22@localhost/rwt",
        "postgresql://rwt@localhost/rwt",
    ]


def test_the_mode_of_a_checkout_is_no_matter(tmp_path):
    """A state folder below a folder of anybody is still its owner's alone."""
    state = Path(shutil.copytree(tmp_path, tmp_path / "copy")) / ".rwt"
    make_state_folder(state)
    assert mode(state) == 0o700
