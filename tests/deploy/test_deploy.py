"""What is deployed says what the code knows: commands, settings, ports, paths, kinds of jobs, and nothing runs as root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.capacity import Machine, capacity_of, memory_of
from api.cli import _parser
from api.outputs import OUTPUT_MAX_BYTES
from api.queue import MADE_HERE, JobKind
from api.routes_public import router
from api.settings import read_settings
from tests.api.test_capacity import ORDER

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = [
    document
    for name in yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    for document in yaml.safe_load_all((KUBERNETES / name).read_text(encoding="utf-8"))
]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
OURS = {name: each for name, each in COMPOSE["services"].items() if str(each["image"]).startswith("mien:")}
IN_IMAGE = dict(re.findall(r"(\w+)=(\S+)", DOCKERFILE.partition("ENV PATH")[2].partition("USER")[0]))


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [each for each in MANIFESTS if each["kind"] in kinds]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for each in of_kind("Deployment", "Job"):
        yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def named(name: str) -> dict[str, Any]:
    return dict(pods())[name]


SETTINGS_OF_ALL = of_kind("ConfigMap")[0]["data"]


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """What every one of our processes is started with."""
    for name, each in OURS.items():
        # compose puts what is unset in place of ${NAME:-value}
        given = {key: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for key, value in each["environment"].items()}
        yield f"compose {name}", IN_IMAGE | given
    for name, pod in pods():
        for container in pod["containers"]:
            own = {each["name"]: each["value"] for each in container.get("env", ())}
            yield f"kubernetes {name}", IN_IMAGE | (SETTINGS_OF_ALL if "envFrom" in container else {}) | own


def commands() -> Iterator[tuple[str, list[str]]]:
    for name, each in OURS.items():
        yield f"compose {name}", each["command"]
    for name, pod in pods():
        yield f"kubernetes {name}", pod["containers"][0]["args"]


@pytest.mark.parametrize(("who", "command"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_every_command_exists(who: str, command: list[str]) -> None:
    assert _parser().parse_args(command).run is not None, who


@pytest.mark.parametrize(("who", "environment"), [pytest.param(*each, id=each[0]) for each in environments()])
def test_every_setting_exists_and_has_a_value_that_is_taken(who: str, environment: dict[str, str]) -> None:
    settings = read_settings(environment)
    assert str(settings.var) == "/tmp/mien", who  # noqa: S108
    assert settings.files == "/media"
    assert not any("password" in value.lower() or re.search(r"://\w+:", value) for value in environment.values()), (
        "secrets are files"
    )


def kinds_of(commands: list[list[str]]) -> list[str]:
    return sorted(kind for command in commands if "--queues" in command for kind in command[-1].split(","))


def test_the_workers_together_take_every_kind_of_job_once() -> None:
    everything = sorted(kind.value for kind in JobKind)
    for where in ("compose", "kubernetes"):
        assert kinds_of([command for who, command in commands() if who.startswith(where)]) == everything


def test_the_memory_that_workers_get_is_enough_for_every_clip() -> None:
    most = max(memory_of(ORDER), memory_of(ORDER.__class__(**fields(ORDER) | {"kind": "cameo"})))
    limits = [COMPOSE["services"]["clips"]["deploy"]["resources"]["limits"]["memory"]]
    limits.append(named("mien-clips")["containers"][0]["resources"]["limits"]["memory"])
    for limit in limits:
        machine = Machine(cores=2, memory=bytes_of(limit))
        clips = capacity_of(machine, kinds=MADE_HERE)
        assert clips.memory >= most, limit
        assert clips.clips_at_once == 1


def fields(order: Any) -> dict[str, Any]:
    return {name: getattr(order, name) for name in order.__dataclass_fields__}


def bytes_of(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"g": 1 << 30, "Gi": 1 << 30, "Mi": 1 << 20}[unit]


def test_running_jobs_get_their_time_before_anything_is_killed() -> None:
    for name, pod in pods():
        env = {each["name"]: each["value"] for each in pod["containers"][0].get("env", ())}
        if "MIEN_WORKER_GRACE_S" in env:
            assert pod["terminationGracePeriodSeconds"] >= int(env["MIEN_WORKER_GRACE_S"]) + 20, name
    clips = COMPOSE["services"]["clips"]
    assert int(clips["stop_grace_period"][:-1]) >= int(clips["environment"]["MIEN_WORKER_GRACE_S"]) + 10


def test_nothing_runs_as_root_or_writes_where_it_should_not() -> None:
    assert re.search(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE).group(1) == "10001"  # type: ignore[union-attr]
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            shut = container["securityContext"]
            assert shut["readOnlyRootFilesystem"] is True, name
            assert shut["allowPrivilegeEscalation"] is False, name
            assert shut["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
    for name, each in (*OURS.items(), ("proxy", COMPOSE["services"]["proxy"])):
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name


def test_every_volume_secret_and_setting_that_is_named_is_there() -> None:
    claims = {each["metadata"]["name"] for each in of_kind("PersistentVolumeClaim")}
    guide = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    for name, pod in pods():
        volumes = {each["name"]: each for each in pod["volumes"]}
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
            assert set(mounted) <= set(volumes), name
            for source in container.get("envFrom", ()):
                assert source["configMapRef"]["name"] == of_kind("ConfigMap")[0]["metadata"]["name"]
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims, name
            if "secret" in volume:
                secret = volume["secret"]["secretName"]
                assert f"create secret generic {secret}" in guide, "the guide says how it is made"
                assert volume["secret"]["defaultMode"] == 0o440
    for each in OURS.values():
        assert {mount.split(":")[0] for mount in each["volumes"]} <= set(COMPOSE["volumes"])
        assert set(each["secrets"]) <= set(COMPOSE["secrets"])


def test_probes_and_proxy_find_the_service() -> None:
    (api,) = named("mien-api")["containers"]
    port = read_settings(IN_IMAGE).port
    paths = {route.path for route in router.routes if hasattr(route, "path")}
    assert [each["containerPort"] for each in api["ports"]] == [port]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert api[probe]["httpGet"]["path"] in paths
        assert api[probe]["httpGet"]["port"] == api["ports"][0]["name"]
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (service,) = of_kind("Service")
    assert service["spec"]["ports"][0]["targetPort"] == api["ports"][0]["name"]
    for each in of_kind("Service"):
        assert each["spec"]["selector"] in [
            one["spec"]["template"]["metadata"]["labels"] for one in of_kind("Deployment")
        ]
    nginx = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    assert f"server api:{port} resolve;" in nginx
    assert f":{port}/readyz" in COMPOSE["services"]["api"]["healthcheck"]["test"][-1]
    listens = re.search(r"listen (\d+);", nginx)
    assert listens is not None
    assert COMPOSE["services"]["proxy"]["ports"] == [f"127.0.0.1:8000:{listens.group(1)}"]
    allowed = re.search(r"client_max_body_size (\d+)m;", nginx)
    assert allowed is not None
    assert int(allowed.group(1)) * 1_000_000 >= OUTPUT_MAX_BYTES


def test_disruptions_and_scaling_name_what_exists() -> None:
    deployments = {each["metadata"]["name"]: each for each in of_kind("Deployment")}
    for each in of_kind("HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        scaled = deployments[target["name"]]
        assert "replicas" not in scaled["spec"], "or every change would undo what was scaled"
        assert scaled["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    for each in of_kind("PodDisruptionBudget"):
        name = each["metadata"]["name"]
        assert each["spec"]["selector"]["matchLabels"] == deployments[name]["spec"]["selector"]["matchLabels"]
        scaled_to = [
            one["spec"]["minReplicas"]
            for one in of_kind("HorizontalPodAutoscaler")
            if one["spec"]["scaleTargetRef"]["name"] == name
        ]
        at_least = deployments[name]["spec"].get("replicas") or scaled_to[0]
        assert at_least > each["spec"]["minAvailable"], "or no machine could ever be emptied"


def test_the_image_has_every_package_and_pins_what_it_installs() -> None:
    project = (DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8")
    (packages,) = re.findall(r"^packages = (\[.+\])$", project, re.MULTILINE)[:1]
    for package in yaml.safe_load(packages):
        assert f"COPY {package} {package}" in DOCKERFILE
        assert f"!{package}" in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    installs = [line for line in DOCKERFILE.replace("\\\n", "").splitlines() if "pip install" in line]
    assert all("--require-hashes" in part or "--no-deps" in part for line in installs for part in line.split("&&"))


def test_secrets_are_made_once_with_the_modes_that_their_readers_want(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "secrets.sh", tmp_path)
    made = tmp_path / "secrets"
    for _ in range(2):
        subprocess.run([str(tmp_path / "secrets.sh")], check=True, capture_output=True)
        written = {file.name: (file.read_text(), file.stat().st_mode & 0o777) for file in made.iterdir()}
    assert {name: mode for name, (_, mode) in written.items()} == {
        "owner_password": 0o444, "service_password": 0o444, "pgpass": 0o600,
    }  # fmt: skip
    assert made.stat().st_mode & 0o777 == 0o700
    owner, service = written["owner_password"][0], written["service_password"][0]
    assert len(owner) >= 32
    assert owner != service
    assert written["pgpass"][0].splitlines() == [
        f"db:5432:mien:mien:{owner}", f"db:5432:mien:mien_service:{service}",
    ]  # fmt: skip
    assert {Path(each["file"]).name for each in COMPOSE["secrets"].values()} == set(written)
    assert os.access(DEPLOY / "secrets.sh", os.X_OK)
