"""The files for operators are well-formed in the judgement of their own programs and schemas."""

import subprocess
import sys
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from tests.packaging.deployed import DEPLOY, manifests, text
from tests.support.programs import SYSTEMD, need, program

SECONDS = 60
EXPOSURE = 20
"""Tenths: systemd calls a service of up to 2.0 well protected; 9.6 is one without any protection."""
RESOURCES = sorted(name for name in manifests() if name != "kustomization.yaml")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a checker and return what it said."""
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=SECONDS, check=False, cwd=DEPLOY
    )


def installed(name: str) -> Path:
    """Return a program that was installed beside Python."""
    return Path(sys.executable).with_name(name)


@pytest.mark.parametrize("name", RESOURCES)
def test_a_manifest_is_what_the_schema_of_kubernetes_says(name: str) -> None:
    manifest = manifests()[name]
    version = kubernetes_validate.latest_version()
    assert kubernetes_validate.validate(manifest, version, strict=True) == version.rpartition(".")[0]


def test_the_schema_of_kubernetes_notices_a_field_that_is_none() -> None:
    manifest = manifests()["deployment.yaml"]
    manifest["spec"]["template"]["spec"]["terminationGraceSeconds"] = 30
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGraceSeconds"):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert "terminationGraceSeconds" not in text("kubernetes/deployment.yaml")


def test_the_compose_file_is_what_its_schema_says() -> None:
    found = run(installed("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    assert (found.returncode, found.stdout.strip()) == (0, "ok -- validation done"), found.stdout


def test_the_containerfile_is_what_its_linter_wants() -> None:
    found = run(installed("hadolint"), "--failure-threshold", "style", "Containerfile")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_unit_is_what_systemd_understands(tmp_path: Path) -> None:
    need(SYSTEMD)
    here = tmp_path / "keystead.service"
    here.write_text(text(here.name).replace("/opt/keystead/bin/keystead", str(installed("keystead"))), encoding="utf-8")
    found = run(program("systemd-analyze"), "verify", "--man=no", here)
    assert (found.returncode, str(here) in found.stderr) == (0, False), found.stderr


def test_the_unit_may_do_little(tmp_path: Path) -> None:
    need(SYSTEMD)
    here = tmp_path / "keystead.service"
    here.write_text(text(here.name), encoding="utf-8")
    judged = run(program("systemd-analyze"), "security", "--offline=yes", f"--threshold={EXPOSURE}", here)
    assert judged.returncode == 0, judged.stdout
    here.write_text(
        text(here.name).replace("ProtectSystem=strict\n", "").replace("PrivateUsers=yes\n", ""), encoding="utf-8"
    )
    weaker = run(program("systemd-analyze"), "security", "--offline=yes", "--threshold=10", here)
    assert weaker.returncode != 0
