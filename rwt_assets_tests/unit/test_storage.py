"""Where the stack's Dagster keeps things, and how often its daemon looks."""

import inspect
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._daemon import sensor

from rwt_assets.embedded import daemon, stack
from rwt_assets.embedded.storage import URL_FILE, opened, storage_settings, write_url
from rwt_assets.runtime.errors import StackError
from rwt_assets_tests.benchmarks.databases import database

STORAGES = {"run_storage", "event_log_storage", "schedule_storage"}


def settings(url, home):
    return yaml.safe_load(storage_settings(url, home))


def test_without_a_url_events_are_in_sqlite_below_dagsters_home(tmp_path):
    home = tmp_path / "a: b # c"
    home.mkdir()
    (home / "dagster.yaml").write_text(storage_settings("", home))
    with opened(home) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("a"))
        assert instance.has_asset_key(dg.AssetKey("a"))
    assert list(home.glob("history/runs/index.db"))


def test_dagsters_own_commands_know_the_state_folder_without_the_stacks_environment(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("RWT_RUN_SOCKET", raising=False)
    own = Path(stack.__file__).with_name("dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(storage_settings("", tmp_path) + own)
    with opened(tmp_path) as instance:  # `dagster instance migrate` begins and ends with this
        assert "ForkingRunLauncher" in instance.info_str()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_database_has_all_storages_by_the_driver_that_dagster_knows(tmp_path, scheme):
    url = f"{scheme}://me:a%40b@host:5433/dagster?sslmode=require"
    assert settings(url, tmp_path).keys() == STORAGES
    write_url(url, tmp_path)
    kept = (tmp_path / URL_FILE).read_text()
    assert kept == "postgresql+psycopg2://me:a%40b@host:5433/dagster?sslmode=require"


def test_the_url_of_a_database_is_its_owners_alone_and_stands_in_no_settings(tmp_path):
    url = "postgresql://me:secret@127.0.0.1:1/db"
    (tmp_path / URL_FILE).write_text("of an earlier start")
    (tmp_path / URL_FILE).chmod(0o644)
    write_url(url, tmp_path)
    assert (tmp_path / URL_FILE).stat().st_mode & 0o777 == 0o600
    assert "secret" not in storage_settings(url, tmp_path)
    write_url("", tmp_path)
    assert not (tmp_path / URL_FILE).exists()


def test_what_the_ui_shows_of_a_database_has_no_password(tmp_path):
    with database("postgresql") as found:
        url = found.replace("postgres:@", "postgres:hunter22@")
        assert "hunter22" in url
        write_url(url, tmp_path)
        (tmp_path / "dagster.yaml").write_text(storage_settings(url, tmp_path))
        with opened(tmp_path) as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization("a"))
            assert instance.has_asset_key(dg.AssetKey("a"))
            assert instance.get_runs() == []
            shown = instance.info_str()
    assert "url_file" in shown
    assert "hunter22" not in shown


@pytest.mark.parametrize("url", ["mysql://me:secret@host/db", "me:secret@host", "/file"])
def test_another_database_is_refused_without_showing_the_password(tmp_path, url):
    with pytest.raises(StackError, match="storage cannot be there") as refused:
        storage_settings(url, tmp_path)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "place",
    [
        "me:pa@secret@host/db",
        "me:pa@secret/db@host/db",
        "me:pa@secret?a@host/db",
        "me:secret/db",
        "me:pa@host:secret/db",
        "me:secret@host:99999/db",
        "me:secret@host:-1/db",
        "me:secret@a host/db",
    ],
)
def test_a_mistyped_database_is_refused_without_a_part_of_the_password(tmp_path, place):
    with pytest.raises(StackError, match="%40") as refused:
        storage_settings(f"postgresql://{place}", tmp_path)
    assert "secret" not in str(refused.value)
    assert "host:5432/database" in refused.value.fix


@pytest.mark.parametrize(
    "place",
    ["", "/db", "me@/db?host=/run/postgresql", "me:a/b#c@[::1]:5432/db", "a-b.c_d:5432", "me:@h/d"],
)
def test_a_database_that_can_be_is_taken(tmp_path, place):
    assert settings(f"postgresql://{place}", tmp_path).keys() == STORAGES


def test_without_its_packages_postgresql_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("rwt_assets.embedded.storage.find_spec", lambda name: None)
    with pytest.raises(StackError, match=r"pip install 'rwt_assets\[postgresql\]'"):
        storage_settings("postgresql://host/db", tmp_path)


@pytest.mark.extended
def test_a_database_that_does_not_answer_is_told(tmp_path):
    url = "postgresql://me:secret@127.0.0.1:1/db"
    (tmp_path / "dagster.yaml").write_text(storage_settings(url, tmp_path))
    write_url(url, tmp_path)
    with pytest.raises(StackError, match="does not answer") as refused, opened(tmp_path):
        pytest.fail("there is no database")
    assert "secret" not in str(refused.value)


def test_the_interval_is_the_one_that_dagsters_daemon_goes_by(monkeypatch):
    assert "MIN_INTERVAL_LOOP_TIME" in inspect.getsource(sensor.execute_sensor_iteration_loop)
    monkeypatch.setattr(sensor, "MIN_INTERVAL_LOOP_TIME", 5)
    daemon.shorten_the_interval()
    assert sensor.MIN_INTERVAL_LOOP_TIME == 1
