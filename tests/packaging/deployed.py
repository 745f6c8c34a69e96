"""The files in ``deploy/``, as the tests of this folder read them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
KUBERNETES: Final = DEPLOY / "kubernetes"
NO_RESOURCE: Final = {"kustomization.yaml", "secret.example.yaml"}


def text(name: str) -> str:
    """Return what is in a file."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def files() -> list[Path]:
    """Return every file there."""
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file())


def compose() -> dict[str, Any]:
    """Return the compose file, with its anchors followed."""
    found: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return found


def manifests() -> dict[str, dict[str, Any]]:
    """Return the manifests of Kubernetes by the names of their files."""
    return {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(KUBERNETES.glob("*.yaml"))}


def pod() -> dict[str, Any]:
    """Return what the Deployment says of a pod."""
    found: dict[str, Any] = manifests()["deployment.yaml"]["spec"]["template"]["spec"]
    return found


def unit() -> dict[str, list[str]]:
    """Return what the unit of systemd says, by key."""
    found: dict[str, list[str]] = {}
    for line in text("keystead.service").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def instructions(name: str) -> list[str]:
    """Return what the Containerfile says in its instructions of this name, each on one line."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text("Containerfile"), flags=re.MULTILINE)).splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{name} ")]


def environment_example() -> dict[str, str]:
    """Return the variables of the example."""
    lines = [line for line in text("keystead.env.example").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def images() -> Iterator[str]:
    """Yield every image that is named."""
    yield from (line.split(" ")[0] for line in instructions("FROM"))
    yield from (service["image"] for service in compose()["services"].values())
    yield from (container["image"] for container in pod()["containers"])


def seconds(duration: str) -> int:
    """Return a duration such as 30s, 2m or 20 in seconds."""
    factor = {"s": 1, "m": 60}.get(duration[-1])
    return int(duration) if factor is None else int(duration[:-1]) * factor
