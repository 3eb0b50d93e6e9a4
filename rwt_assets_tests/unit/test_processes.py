"""Child processes of the embedded stack."""

import os
import socket
import subprocess
import sys
import tempfile

import pytest

from rwt_assets.embedded.processes import (
    LOOPBACK,
    STACK_VARIABLE,
    ChildProcess,
    choose_port,
    end_leftovers,
    leftovers,
    listens,
)
from rwt_assets.embedded.server import local_environment
from rwt_assets.runtime.errors import StackError

SLEEP = "import time; time.sleep(600)"
FAMILY = (
    f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"
)


@pytest.fixture
def child(tmp_path):
    children = []

    def make(script):
        made = ChildProcess(
            "test process",
            [sys.executable, "-c", script],
            environment={**os.environ, STACK_VARIABLE: str(tmp_path)},
            log=tmp_path / "child.log",
        )
        children.append(made)
        return made

    yield make
    for one in children:
        one.kill()
        one.stop(seconds=1)
    end_leftovers(tmp_path)


def test_a_taken_port_is_not_chosen():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert listens(port)
        assert choose_port(port) != port
    assert choose_port(port) == port


def test_two_stacks_that_start_at_the_same_moment_get_different_ports():
    script = (
        "import sys; from rwt_assets.embedded.processes import choose_port; "
        "print(choose_port(int(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-c", script, str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        ports = {int(one.stdout.readline()), int(other.stdout.readline())}
        one.stdin.close()
        other.stdin.close()
    assert len(ports) == 2
    assert port in ports
    assert choose_port(port) == port  # they are gone


def test_a_child_that_ends_early_is_told_with_its_log(child):
    ended = child("print('what went wrong'); raise SystemExit(3)")
    ended.start()
    with pytest.raises(StackError, match="ended before it answered") as caught:
        ended.wait_until(lambda: False, seconds=60)
    assert "what went wrong" in str(caught.value)
    assert "status 3" in str(ended.ended_unexpectedly())


def test_a_child_that_never_answers_is_told(child):
    silent = child(SLEEP)
    silent.start()
    with pytest.raises(StackError, match="did not answer within 0 s"):
        silent.wait_until(lambda: False, seconds=0)
    silent.stop(seconds=1)
    assert not silent.alive


def test_one_that_will_not_end_is_ended(child):
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    stubborn = child(f"{deaf}; {SLEEP}")
    stubborn.start()
    stubborn.wait_until(lambda: "deaf" in stubborn.log.read_text(), seconds=60)
    stubborn.stop(seconds=1)
    assert not stubborn.alive


def test_a_child_takes_no_module_of_the_folder_that_it_is_started_in(child, tmp_path, monkeypatch):
    (tmp_path / "calendar.py").write_text("raise SystemExit('executed')")
    monkeypatch.chdir(tmp_path)
    started = child(
        "import calendar, sys; print(sys.flags.safe_path, calendar.__file__, flush=True)"
    )
    started.start()
    started.wait_until(lambda: not started.alive or started.log.read_text(), seconds=60)
    safe, file = started.log.read_text().split()
    assert safe == "True"
    assert not file.startswith(str(tmp_path))


def test_grandchildren_are_found_and_ended(child, tmp_path):
    parent = child(FAMILY)
    parent.start()
    parent.wait_until(lambda: len(leftovers(tmp_path)) == 2, seconds=30)
    os.kill(parent.pid, 9)
    assert end_leftovers(tmp_path) >= 1
    assert leftovers(tmp_path) == []


def test_processes_of_others_are_left_alone(tmp_path):
    environment = {**os.environ, STACK_VARIABLE: str(tmp_path / "other")}
    with subprocess.Popen([sys.executable, "-c", SLEEP], env=environment) as other:
        assert end_leftovers(tmp_path) == 0
        assert other.poll() is None
        other.kill()


def test_a_lock_of_a_port_that_is_a_link_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    elsewhere, port = tmp_path / "elsewhere", choose_port(0)
    (tmp_path / f"rwt-port-{port}.lock").symlink_to(elsewhere)
    assert choose_port(port) != port
    assert not elsewhere.exists()


def test_a_lock_of_a_port_is_its_owners_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    port = choose_port(choose_port(0))
    assert (tmp_path / f"rwt-port-{port}.lock").stat().st_mode & 0o777 == 0o600


def test_the_local_environment_leads_nowhere_else():
    base = {"HOME": "/home/x", "AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "secret"}
    made = local_environment("http://127.0.0.1:4566", base)
    assert made["HOME"] == "/home/x"
    assert made["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(made)
