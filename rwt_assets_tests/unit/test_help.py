"""Every command says how it is used."""

import re

import pytest
import typer.main
from typer.testing import CliRunner

from rwt_assets.cli.main import app


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example_of_itself_that_its_options_allow(path):
    command = ALL[path]
    examples = re.findall(r"^ +(rwt .+)$", command.help, flags=re.MULTILINE)
    own = f"rwt {' '.join(path)}"
    assert examples
    assert all(example == own or example.startswith(f"{own} ") for example in examples)
    allowed = {option for one in command.params for option in one.opts}
    used = {word for example in examples for word in re.findall(r"(?<= )--[a-z-]+", example)}
    assert used <= allowed


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_explained(path):
    told = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert told.exit_code == 0
    assert "For example" in told.stdout
    unexplained = [
        one.name for one in ALL[path].params if one.param_type_name == "option" and not one.help
    ]
    assert not unexplained


def test_the_whole_says_what_an_exit_status_means():
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    assert "Exit status: 0 if all went well" in told
    assert "--install-completion" in told
