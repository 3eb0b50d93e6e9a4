"""What reads the settings in docs/deploy takes them, as far as that can be tried without a cluster.

That is Dagster's own check of its settings and of those of every class that they name. `make lint`
has linters for the container file and the stack.

Of Dagster's Helm chart nothing is here: what its template makes of the values is written down
below.
"""

import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance import InstanceRef
from dagster._serdes import ConfigurableClassData
from dagster_k8s import K8sRunLauncher

from rwt_assets.runtime.memory import POOL_VARIABLE, SYSTEM
from rwt_assets_tests.end_to_end.documented_commands import PROJECT

DEPLOY = PROJECT / "docs" / "deploy"
SETTINGS = sorted(DEPLOY.rglob("dagster.yaml"))


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short functions as what they are applied to."""


Template.add_multi_constructor("!", lambda loader, tag, node: f"{tag} {node.value}")


def variables(document):
    """The names in every `{ env: NAME }`."""
    if isinstance(document, dict):
        if document.keys() == {"env"}:
            yield document["env"]
        for value in document.values():
            yield from variables(value)
    elif isinstance(document, list):
        for value in document:
            yield from variables(value)


def complaints(folder):
    """What Dagster has against a dagster.yaml, the settings of each class in it included."""
    reference = InstanceRef.from_dir(str(folder))
    found = []
    for name, data in reference._asdict().items():
        if isinstance(data, ConfigurableClassData):
            one = getattr(import_module(data.module_name), data.class_name)
            schema = resolve_to_config_type(one.config_type())
            result = process_config(schema, data.config_dict)
            found += [f"{name}: {error.message}" for error in result.errors or ()]
    return found


@pytest.mark.parametrize("file", SETTINGS, ids=lambda file: file.parent.name)
def test_dagster_takes_its_settings_with_the_settings_of_every_class(file, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in variables(yaml.safe_load(file.read_text())):
        monkeypatch.setenv(name, "1")
    assert complaints(file.parent) == []


def test_a_setting_that_a_class_does_not_know_is_seen(tmp_path, monkeypatch):
    (file,) = (one for one in SETTINGS if one.parent.name == "ecs")
    monkeypatch.setenv("RWT_STORAGE_URL", "1")
    text = file.read_text().replace("container_name:", "containr_name:")
    (tmp_path / "dagster.yaml").write_text(text)
    assert "run_launcher" in complaints(tmp_path)[0]


@pytest.mark.parametrize("task", ["DaemonTask", "WebserverTask", "MetricsTask"])
def test_every_variable_of_the_settings_for_ecs_is_given_to_the_tasks(task):
    stack = yaml.load((DEPLOY / "ecs" / "stack.yaml").read_text(), Template)  # noqa: S506 - safe
    (container,) = stack["Resources"][task]["Properties"]["ContainerDefinitions"]
    given = {one["Name"] for one in container["Environment"] + container["Secrets"]}
    wanted = set(variables(yaml.safe_load((DEPLOY / "ecs" / "dagster.yaml").read_text())))
    assert wanted <= given


def test_who_launches_runs_has_no_data_and_who_has_data_launches_nothing():
    stack = yaml.load((DEPLOY / "ecs" / "stack.yaml").read_text(), Template)  # noqa: S506 - safe
    roles = {name: stack["Resources"][name]["Properties"] for name in ("LaunchRole", "DataRole")}
    assert "ManagedPolicyArns" not in roles["LaunchRole"]
    assert not re.search(r"(s3|sqs):", yaml.dump(roles["LaunchRole"]))
    assert "Policies" not in roles["DataRole"]


def test_what_the_container_file_copies_is_there_and_not_left_out():
    text = (DEPLOY / "Containerfile").read_text()
    folder = re.search(r"^ARG SETTINGS=(.+)$", text, re.MULTILINE)[1]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    sources = " ".join(copied).replace("${SETTINGS}", folder).split()
    kept = re.findall(r"^!(.+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)
    assert len(sources) >= 6
    for source in sources:
        assert (PROJECT / source).exists()
        assert any(source == one or source.startswith(f"{one}/") for one in kept)


def test_the_image_has_what_the_shipped_feeds_and_its_processes_need_and_no_local_server():
    text = (DEPLOY / "Containerfile").read_text()
    extras = re.search(r'^ARG EXTRAS="(.+)"$', text, re.MULTILINE)[1].split()
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert {*extras} <= {*declared["optional-dependencies"]}
    assert {*extras} == {"postgresql", "metrics", "query", "zip"}
    assert f"{POOL_VARIABLE}={SYSTEM}" in text


def test_the_port_of_the_code_server_is_the_same_everywhere():
    text = (DEPLOY / "Containerfile").read_text()
    assert set(re.findall(r'EXPOSE (\d+)|"-p", "(\d+)"', text)) == {("4000", ""), ("", "4000")}
    workspace = yaml.safe_load((DEPLOY / "ecs" / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["grpc_server"]["port"] == 4000
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    (code,) = values["dagster-user-deployments"]["deployments"]
    assert code["port"] == 4000


def in_snake_case(settings):
    return {re.sub("([A-Z])", lambda m: f"_{m[1].lower()}", k): v for k, v in settings.items()}


def rendered(values):
    """The dagster.yaml that the chart's template makes of these values, as far as they set it."""
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    renamed = {
        "imagePullPolicy": "image_pull_policy",
        "loadInclusterConfig": "load_incluster_config",
    }
    given = {renamed.get(name, name): value for name, value in launcher.items() if value != []}
    k8s = in_snake_case({k: v for k, v in given.items() if k != "runK8sConfig"})
    k8s["run_k8s_config"] = in_snake_case(given["runK8sConfig"])
    daemon, limits = values["dagsterDaemon"], values["concurrency"]
    queue = daemon["runCoordinator"]
    return {
        "run_launcher": {
            "module": "dagster_k8s",
            "class": values["runLauncher"]["type"],
            "config": {
                "service_account_name": values["global"]["serviceAccountName"],
                "dagster_home": "/opt/dagster/dagster_home",
                "instance_config_map": "dagster-instance",
                "postgres_password_secret": values["global"]["postgresqlSecretName"],
                **k8s,
            },
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": queue["type"],
            "config": in_snake_case(queue["config"]["queuedRunCoordinator"]),
        },
        "concurrency": {
            "pools": in_snake_case(limits["pools"]),
            "runs": in_snake_case(limits["runs"]),
        },
        "run_monitoring": in_snake_case(daemon["runMonitoring"]),
        "run_retries": in_snake_case(daemon["runRetries"]),
        "sensors": in_snake_case(daemon["sensors"]),
        "telemetry": values["telemetry"],
        "retention": {
            "sensor": {"purge_after_days": values["retention"]["sensor"]["purgeAfterDays"]}
        },
    }


def test_dagster_takes_what_the_chart_makes_of_the_values(tmp_path):
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(rendered(values)))
    assert complaints(tmp_path) == []
    assert values["runLauncher"]["type"] == K8sRunLauncher.__name__


def test_a_value_that_the_launcher_does_not_know_is_seen(tmp_path):
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    values["runLauncher"]["config"]["k8sRunLauncher"]["resorces"] = {}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(rendered(values)))
    assert "resorces" in complaints(tmp_path)[0]


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_takes_the_proxy(tmp_path):
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rwt.example.org")])
    begins = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "rwt.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "rwt.key").write_bytes(secret)
    proxy = (DEPLOY / "nginx.conf").read_text().replace("/etc/nginx/", f"{tmp_path}/")
    (tmp_path / "rwt.conf").write_text(proxy)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
    settings = f"access_log off; {folders} include {tmp_path}/rwt.conf;"
    whole = f"pid {tmp_path}/pid; events {{}} http {{ {settings} }}"
    (tmp_path / "nginx.conf").write_text(whole)
    command = ["nginx", "-t", "-c", tmp_path / "nginx.conf", "-e", tmp_path / "error.log"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
