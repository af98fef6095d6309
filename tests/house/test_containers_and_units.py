"""The containers and units of `deployments/`: closed, pinned, made of what is there, and alike."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from dotenv import dotenv_values

from deployments import end_runs
from tests.house.test_deployments import COMPOSE, HERE, HOODCLOUDS_PORTS, PAGE, ROOT, SERVICES, UNITS

# -- containers -----------------------------------------------------------------------------------------------------

KNOWN_KEYS = {
    "build", "cap_drop", "command", "depends_on", "env_file", "environment", "healthcheck", "image", "init", "logging",
    "mem_limit", "memswap_limit", "network_mode", "ports", "pre_stop", "profiles", "read_only", "restart", "secrets",
    "security_opt", "shm_size", "stop_grace_period", "stop_signal", "tmpfs", "ulimits", "user", "volumes",
}  # fmt: skip
"""Of the Compose specification, what is used here: a misspelt key is no error to every version of Compose."""


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_closed_limited_and_pinned(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= KNOWN_KEYS
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["ulimits"] == {"core": 0}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] not in ("0", "root", "0:0") and service["mem_limit"]
    assert re.search(r":\d+\.\d+", service["image"]) and "latest" not in service["image"]
    assert ("healthcheck" in service) == (name in ("prefect-db", "prefect-server", "worker"))
    for port in service.get("ports", []):
        host, published, _ = port.split(":")
        assert host == "127.0.0.1" and int(published) not in HOODCLOUDS_PORTS
    for secret in service.get("secrets", []):
        assert (secret if isinstance(secret, str) else secret["source"]) in COMPOSE["secrets"]
    for file in filter(None, [service.get("env_file")]):
        assert (HERE / file).is_file()


def test_the_services_fit_each_other() -> None:
    for name in ("worker", "deliver", "deploy"):
        # the cache of credentials is bound to the host's name, the store to one machine's files
        assert (
            SERVICES[name]["network_mode"] == "host"
            and "runbooks:/var/lib/hoodcloud-runbooks" in SERVICES[name]["volumes"]
        )
        assert "ports" not in SERVICES[name]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {service["image"] for name, service in SERVICES.items() if name != "prefect-db"}
    assert images == {f"hoodcloud-runbooks:{version}"}
    (build,) = {json.dumps(service["build"]) for service in SERVICES.values() if "build" in service}
    assert (HERE / json.loads(build)["context"] / json.loads(build)["dockerfile"]).resolve() == HERE / "Containerfile"
    assert SERVICES["prefect-server"]["environment"]["PREFECT_SERVER_DATABASE_HOST"] == "prefect-db"
    no_proxy = dotenv_values(HERE / "prefect-server.env")["NO_PROXY"] or ""
    assert "prefect-db" in no_proxy.split(",")


def test_the_image_is_built_from_what_is_here() -> None:
    lines = (HERE / "Containerfile").read_text().splitlines()
    (base,) = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert re.fullmatch(r"python:3\.\d+\.\d+-[a-z-]+", base)
    for line in lines:
        if line.startswith("COPY"):
            assert [name for name in line.split()[1:-1] if not (ROOT / name).exists()] == []
    assert os.access(HERE / "start.sh", os.X_OK) and os.access(HERE / "runbook.sh", os.X_OK)


def test_uv_has_one_version_everywhere() -> None:
    texts = [(HERE / "Containerfile").read_text(), PAGE]
    used = {version for text in texts for version in re.findall(r"uv==(\S+)", text)}
    assert used == set(re.findall(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text()))


def test_secrets_become_variables_in_the_container(tmp_path: Path) -> None:
    (tmp_path / "PREFECT_API_AUTH_STRING").write_text('runbooks:it\'s a "$secret"\n')
    script = (HERE / "start.sh").read_text().replace("/run/secrets", str(tmp_path))
    command = [
        "sh",
        "-c",
        script,
        "start.sh",
        sys.executable,
        "-c",
        "import os; print(os.environ['PREFECT_API_AUTH_STRING'])",
    ]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=True)
    assert done.stdout == 'runbooks:it\'s a "$secret"\n'


@pytest.mark.parametrize(("ignores", "left"), [(False, 0), (True, 1)], ids=["ends", "does not end"])
def test_runs_are_asked_to_end_before_their_container_stops(ignores: bool, left: int, tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "__init__.py").touch()
    (tmp_path / "prefect" / "engine.py").write_text(
        "import signal, sys, time\n"
        + ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if ignores else "")
        + "print('up', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "prefect.engine"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None and run.stdout.readline() == b"up\n"
        container = tmp_path / "proc"  # others on this machine run Prefect, too: this container has one process
        container.mkdir()
        (container / str(run.pid)).symlink_to(f"/proc/{run.pid}")
        (container / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
        still = end_runs.end(container, limit_s=0.5 if ignores else 10)
        run.kill()
    assert len(still) == left
    assert (run.returncode == -9) == ignores


# -- systemd --------------------------------------------------------------------------------------------------------


def unit(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not on this machine")
    for path in [*UNITS, *(HERE / "systemd").glob("*.timer")]:
        text = path.read_text().replace("/opt/hoodcloud-runbooks/.venv/bin/", f"{Path(sys.executable).parent}/")
        (tmp_path / path.name).write_text(text)
    names = [str(tmp_path / path.name) for path in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if any(path.stem in line for path in UNITS)]
    assert (done.returncode, ours) == (0, [])
    closed = ["systemd-analyze", "security", "--offline=true", "--threshold=20", *names]
    assert subprocess.run(closed, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_names_what_exists_or_what_the_page_makes(path: Path) -> None:
    found = unit(path)
    named = [
        *found["ExecStart"],
        *found.get("EnvironmentFile", []),
        *found["WorkingDirectory"],
        *found["Documentation"],
    ]
    for place in re.findall(r"/(?:opt|etc)/\S+", " ".join(named)):
        if place.startswith("/opt/hoodcloud-runbooks/.venv/bin/"):  # what step 1 installs, this environment has too
            assert (Path(sys.executable).parent / Path(place).name).exists(), place
        elif place.startswith("/opt/hoodcloud-runbooks"):
            assert (ROOT / place.removeprefix("/opt/hoodcloud-runbooks").lstrip("/")).exists(), place
        else:
            assert place in PAGE, place
    users = (HERE / "systemd" / "sysusers.conf").read_text()
    assert re.search(rf"^u +{found['User'][0]} ", users, re.MULTILINE)
    assert found["LimitCORE"] == ["0"] and found["ProtectSystem"] == ["strict"] and found["NoNewPrivileges"] == ["yes"]
    # what turns core dumps and tracing off for a program that holds a share must stay allowed
    assert found["SystemCallFilter"] == ["@system-service"]


def test_a_run_outlives_its_worker() -> None:
    worker = unit(HERE / "systemd" / "runbook-worker.service")
    assert (worker["KillMode"], worker["KillSignal"], worker["Restart"]) == (["process"], ["SIGKILL"], ["always"])
    assert worker["MemorySwapMax"] == ["0"]


def test_users_of_the_host_are_those_of_the_image() -> None:
    of_host = re.findall(r"^u +(\S+) +(\d+):\d+", (HERE / "systemd" / "sysusers.conf").read_text(), re.MULTILINE)
    of_image = re.findall(r"useradd --uid (\d+) .*--create-home (\S+)", (HERE / "Containerfile").read_text())
    assert {(name, uid) for name, uid in of_host} == {(name, uid) for uid, name in of_image}
    assert {service["user"].split(":")[0] for service in SERVICES.values()} - {"postgres"} == {
        uid for _, uid in of_host
    }


def test_kept_shares_have_the_same_names_everywhere() -> None:
    drop_in = (HERE / "systemd" / "kept-shares.conf").read_text()
    names = re.findall(r"^LoadCredentialEncrypted=(\S+):\S+/(\S+)$", drop_in, re.MULTILINE)
    assert [name for name, file in names if name != file] == []
    assert "runbook-cache-key" in dict(names) and "credential:share-1" in PAGE
