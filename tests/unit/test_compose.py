"""The container files, read without an engine: what they name has to exist here."""

import re
import shlex
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from infra.cli import main
from infra.embedded.jars import KAFKA_VERSION
from infra.embedded.kafka import Kafka
from tests.support import services as test_services
from tests.support.settings_variables import known_variables

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "infra" / "docker" / "Dockerfile").read_text()
ONE_SHOT = {name for name, service in SERVICES.items() if service["restart"] == "no"}


def instructions(name: str) -> list[str]:
    """The arguments of each such instruction of the Dockerfile, continued lines joined."""
    lines = DOCKERFILE.replace("\\\n", " ").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def filled(text: str, told: Mapping[str, str]) -> str:
    """A text of the file as Compose fills it in where the machine has these variables."""

    def value(found: re.Match[str]) -> str:
        name, how, other = found.groups()
        return told.get(name) or other if how == ":-" else other if told.get(name) else ""

    return re.sub(r"\$\{(\w+)(:[-+])([^}]*)\}", value, text)


def environment_of(service: str, told: Mapping[str, str]) -> dict[str, str]:
    """A container's variables: one without a value has the machine's, or is not there."""
    its = {name: told.get(name) if value is None else value for name, value in environment(service).items()}
    return {name: filled(str(value), told) for name, value in its.items() if value is not None}


def environment(service: str) -> dict[str, Any]:
    found: dict[str, Any] = SERVICES[service]["environment"]
    return found


def test_the_services_are_all_there() -> None:
    assert set(SERVICES) == {"kafka", "postgres", "valkey", "topics", "migrate", "worker", "api", "ingest"}
    assert set(OURS) == {"topics", "migrate", "worker", "api", "ingest"}
    assert {"topics", "migrate"} == ONE_SHOT


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_only_for_services_that_reach_the_condition(name: str) -> None:
    for target, dependency in SERVICES[name].get("depends_on", {}).items():
        assert target in SERVICES
        expected = "service_completed_successfully" if target in ONE_SHOT else "service_healthy"
        assert dependency["condition"] == expected


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_a_service_that_stays_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert {"interval", "timeout", "retries"} <= set(check)
    how, *arguments = check["test"]
    if how == "CMD":  # Podman joins the arguments by spaces, and splits what comes of it
        assert [argument for argument in arguments if " " in argument] == []
    else:
        assert (how, len(arguments)) == ("CMD-SHELL", 1)
        assert shlex.split(arguments[0])[:2] == ["python", "-c"]
        compile(shlex.split(arguments[0])[2], name, "exec")  # raises where the quotes are not its own


@pytest.mark.parametrize("name", ["worker", "api"])
def test_nothing_of_ours_starts_before_its_topics_and_tables(name: str) -> None:
    assert set(SERVICES[name]["depends_on"]) == {"topics", "migrate", "kafka", "postgres", "valkey"}


@pytest.mark.parametrize("name", OURS)
def test_a_variable_of_our_services_is_one_of_our_settings(name: str) -> None:
    assert set(OURS[name]["environment"]) - known_variables() == set()


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_told_of_the_services_beside_them(name: str) -> None:
    environment = OURS[name]["environment"]

    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
    assert "@postgres:5432/" in environment["POSTGRES_URL"]
    assert environment["REDIS_URL"] == "redis://valkey:6379/0"


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_of_txnwatch_and_takes_its_arguments(name: str) -> None:
    command_name, *arguments = OURS[name]["command"]
    context = click.Context(main)

    command = main.get_command(context, command_name)

    assert command is not None
    assert not command.hidden
    given = [filled(argument, {}) for argument in arguments]
    command.make_context(command_name, given, parent=context)  # raises where an argument is not known


def test_every_variable_that_is_filled_in_has_a_default() -> None:
    filled_in = re.findall(
        r"\$\{([^}]*)\}", re.sub(r"(?m)#.*$", "", (ROOT / "docker-compose.kafka.yml").read_text())
    )

    assert filled_in
    assert [variable for variable in filled_in if not re.search(":[-+]", variable)] == []


@pytest.mark.parametrize("decisions", ["", "./mine.toml"])
def test_a_worker_reads_the_decisions_file_that_the_machines_variable_names(
    decisions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stream_app.settings import Settings  # noqa: PLC0415 - of this test alone

    told = {"TXNWATCH_DECISIONS": decisions} if decisions else {}
    for name, value in environment_of("worker", told).items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()

    [mounted] = SERVICES["worker"]["configs"]
    assert filled(COMPOSE["configs"][mounted["source"]]["file"], told) == (decisions or "/dev/null")
    assert settings.decisions == (mounted["target"] if decisions else "")
    assert settings.detector == "rolling_mean"
    assert "detector" not in settings.model_fields_set  # the file may name another
    assert environment_of("worker", {"TXNWATCH_DETECTOR": "odds"})["TXNWATCH_DETECTOR"] == "odds"


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert "127.0.0.1:8000:8000" in ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_api_listens_where_its_port_is_forwarded_to() -> None:
    assert SERVICES["api"]["environment"]["TXNWATCH_API_HOST"] == "0.0.0.0"  # noqa: S104 - in the container


def test_the_api_asks_a_worker_where_its_views_are() -> None:
    assert SERVICES["api"]["environment"]["TXNWATCH_WORKER_URL"] == "http://worker:6066"
    assert SERVICES["worker"]["environment"]["TXNWATCH_WEB_HOST"] == "0.0.0.0"  # noqa: S104 - in the container


def test_ingest_runs_where_it_is_asked_for_by_the_mapping_that_the_machines_variable_names() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["ingest"]
    told = {"INGEST_MAPPING": "./shop.toml", "INGEST_TOPIC": "shop", "INGEST_ORDER": "timestamps"}
    arguments = [filled(argument, told) for argument in SERVICES["ingest"]["command"]]

    [mounted] = SERVICES["ingest"]["configs"]
    assert filled(COMPOSE["configs"][mounted["source"]]["file"], told) == "./shop.toml"
    assert arguments[1:7] == ["--mapping", mounted["target"], "--topic", "shop", "--order", "timestamps"]


@pytest.mark.parametrize("name", ["worker", "ingest"])
def test_workers_can_be_scaled(name: str) -> None:
    """Two containers of one service can share no name, port or data folder."""
    assert {"ports", "container_name", "hostname", "volumes"} & set(SERVICES[name]) == set()
    [datadir] = instructions("VOLUME")
    assert f"TXNWATCH_DATADIR={datadir}" in DOCKERFILE


@pytest.mark.parametrize("name", ["worker", "ingest"])
def test_a_worker_has_the_time_to_stop_by_itself(name: str) -> None:
    from stream_app.settings import Settings  # noqa: PLC0415 - of this test alone

    grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))

    assert grace > Settings.model_fields["stop_seconds"].default


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_what_writes_its_data_out_at_its_end_has_the_time_to(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > Kafka.stop_seconds


def test_data_is_in_volumes_that_are_declared() -> None:
    mounted = {
        volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])
    }

    assert mounted == set(COMPOSE["volumes"]) == {"kafka", "postgres", "valkey"}


def test_images_are_pinned_by_a_version() -> None:
    bases = [line.removeprefix("BASE=") for line in instructions("ARG") if line.startswith("BASE=")]
    images = [service["image"] for service in SERVICES.values()]

    assert [image for image in bases + images if not re.search(r":\d+(\.\d+)+", image)] == []


def test_kafka_is_of_the_version_that_the_tests_run_on() -> None:
    assert SERVICES["kafka"]["image"] == test_services.KAFKA_IMAGE == f"apache/kafka:{KAFKA_VERSION}"
    assert SERVICES["postgres"]["image"] == test_services.POSTGRES_IMAGE
    assert SERVICES["valkey"]["image"] == test_services.VALKEY_IMAGE


def test_our_image_does_not_run_as_root() -> None:
    [user] = instructions("USER")

    assert int(user) > 0  # Kubernetes' runAsNonRoot takes no name
    assert re.search(rf"^ *useradd --uid {user} ", DOCKERFILE, re.MULTILINE)
    assert [line.split()[0] for line in instructions("FROM")] == ["${BASE}"] * 2
    assert DOCKERFILE.index(f"USER {user}") < DOCKERFILE.index("ENTRYPOINT")


def test_what_is_copied_into_the_image_is_there_and_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = [
        source for line in instructions("COPY") if "--from=" not in line for source in line.split()[:-1]
    ]

    assert "*" in lines
    assert {source for source in copied if source != "infra/docker/supply-chain.txt"} == let_in
    assert [source for source in copied if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("secret", [".env", ".git", ".txnwatch", ".venv"])
def test_what_is_private_to_a_checkout_stays_out_of_the_image(secret: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    assert not any(fnmatch(secret, line.removeprefix("!")) for line in lines if line.startswith("!"))


def test_the_image_has_nothing_that_builds_or_installs_and_a_bill_of_its_materials() -> None:
    build, image = DOCKERFILE.split("\nFROM ${BASE}\n")

    assert "venv --without-pip /opt/txnwatch" in build
    assert "pip --python /opt/txnwatch/bin/python uninstall --yes setuptools" in build  # of grpcio-tools
    assert "--output-file /opt/txnwatch/sbom.cdx.json /opt/txnwatch" in build.replace("\\\n", "")
    assert "pip uninstall --yes --root-user-action=ignore setuptools wheel pip" in image
    assert "import ensurepip" in image  # which has a pip of its own
    assert "-perm /6000 -exec chmod ug-s" in image
    assert re.findall(r"^(?:USER|COPY) .*", image, re.MULTILINE) == [
        "COPY --from=build /opt/txnwatch /opt/txnwatch",
        "USER 10001",
    ]


def test_a_change_of_our_code_leaves_the_layer_of_all_other_packages_as_it_is() -> None:
    of_others = DOCKERFILE.index('".[${EXTRAS}]"')

    assert [
        name
        for name in ("schemas", "stream_app", "api", "infra")
        if DOCKERFILE.index(f"\nCOPY {name} ") < of_others
    ] == []
    assert "install --no-deps ." in DOCKERFILE


def test_the_image_has_what_worker_ingest_and_api_can_be_told_to_do() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [of_image] = [line.removeprefix("EXTRAS=") for line in instructions("ARG") if line.startswith("EXTRAS=")]

    assert set(extras) - set(of_image.split(",")) == {"bench", "dev", "embedded", "parquet", "xlsx"}


def test_a_container_of_any_uid_can_write_to_the_data_folder() -> None:
    [datadir] = instructions("VOLUME")

    assert f"install -d --owner=txnwatch --group=root --mode=770 {datadir}" in DOCKERFILE


@pytest.mark.parametrize("name", OURS)
def test_our_containers_write_to_their_volume_alone(name: str) -> None:
    service = SERVICES[name]

    assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])  # noqa: S108
