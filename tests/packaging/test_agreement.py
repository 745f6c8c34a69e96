"""What the files for operators say agrees with the code, and with each other."""

import ipaddress
import re
from pathlib import Path

import pytest
import yaml

from keystead import __version__
from keystead.gate.operations import HEALTH, READY
from keystead.kernel.settings import OTHER_VARIABLES, PREFIX, Settings, SettingsError, load_settings
from keystead.operate import serve
from tests.packaging.deployed import (
    DEPLOY,
    KUBERNETES,
    NO_RESOURCE,
    ROOT,
    compose,
    environment_example,
    files,
    images,
    instructions,
    manifests,
    pod,
    seconds,
    text,
    unit,
)

RESERVE = 5
"""Seconds that every way to stop leaves beyond the drain."""


def nodes() -> dict[str, dict[str, object]]:
    """Return the services of the compose file that are Keystead."""
    return {name: one for name, one in compose()["services"].items() if one["image"].startswith("keystead:")}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+", path.read_text(encoding="utf-8")))
    known = {PREFIX + name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    assert named - known == set()


def test_the_example_of_settings_is_accepted_as_it_is() -> None:
    settings = load_settings(environment_example(), None)
    assert settings.database_url is not None
    assert settings.valkey_url is not None
    assert settings.master_secret is not None


def test_each_setting_of_the_example_is_explained() -> None:
    paragraphs = [block.splitlines() for block in text("keystead.env.example").strip().split("\n\n")[1:]]
    assert len(paragraphs) == len(environment_example())
    for *comments, assignment in paragraphs:
        assert assignment.startswith(PREFIX)
        assert comments
        assert all(line.startswith("# ") for line in comments)


def test_the_settings_for_kubernetes_are_accepted_as_they_are() -> None:
    found = manifests()
    values = {**found["configmap.yaml"]["data"], **found["secret.example.yaml"]["stringData"]}
    assert load_settings(values, None).public_url == "https://auth.example.com"
    assert not set(found["configmap.yaml"]["data"]) & {"KEYSTEAD_MASTER_SECRET", "KEYSTEAD_DATABASE_URL"}


def test_kubernetes_adds_no_variables_that_would_be_refused_as_settings() -> None:
    with pytest.raises(SettingsError):
        load_settings({"KEYSTEAD_SERVICE_HOST": "10.96.0.7"}, None)
    assert manifests()["service.yaml"]["metadata"]["name"] == "keystead"
    assert pod()["enableServiceLinks"] is False


def test_every_probe_asks_a_path_that_is_there() -> None:
    (container,) = pod()["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": HEALTH,
        "readiness": READY,
        "liveness": HEALTH,
    }
    (port,) = container["ports"]
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    checks = [*instructions("HEALTHCHECK"), *(str(node["healthcheck"]) for node in nodes().values())]
    assert len(checks) == 3
    assert all(f"'{READY}'" in check.replace('"', "'") for check in checks)
    assert compose()["services"]["nginx"]["healthcheck"]["test"][-1].endswith(HEALTH)


def test_every_way_to_stop_waits_longer_than_the_drain() -> None:
    enough = serve._DRAIN + RESERVE
    assert [seconds(str(node["stop_grace_period"])) >= enough for node in nodes().values()] == [True, True]
    assert seconds(unit()["TimeoutStopSec"][0]) >= enough
    sleep = pod()["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] >= sleep + enough
    assert seconds(compose()["services"]["nginx"]["stop_grace_period"]) >= enough


def test_nginx_waits_longer_than_a_poll_is_held_and_closes_idle_connections_first() -> None:
    configuration = text("nginx.conf")
    (longest,) = [bound.le for bound in Settings.model_fields["device_poll_hold"].metadata if hasattr(bound, "le")]
    reads = re.findall(r"proxy_read_timeout (\w+);", configuration)
    assert [seconds(one) > longest for one in reads] == [True]
    assert int(
        manifests()["ingress.yaml"]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"]
    ) > (longest)
    upstream = configuration.partition("upstream keystead {")[2].partition("}")[0]
    idle = re.findall(r"keepalive_timeout (\w+);", upstream)
    closes_after = serve._config(None, Settings(public_url="https://auth.example.com")).timeout_keep_alive
    assert [seconds(one) < closes_after for one in idle] == [True]


def test_every_image_is_pinned_to_a_version() -> None:
    found = list(images())
    assert len(found) == 8
    assert [image for image in found if not re.search(r":\d+\.\d+(\.\d+)?(-[a-z]+)*$", image)] == []


def test_our_own_image_has_the_version_of_the_package() -> None:
    ours = {image for image in images() if image.startswith("keystead:")}
    (pinned,) = manifests()["kustomization.yaml"]["images"]
    assert ours == {f"keystead:{__version__}"}
    assert (pinned["name"], str(pinned["newTag"])) == ("keystead", __version__)
    assert set(re.findall(r"\bkeystead:(\d[\d.]*\d)\b", text("README.md") + text("Containerfile"))) == {__version__}


def test_every_command_that_serves_is_one_that_is_understood() -> None:
    in_the_image = yaml.safe_load(instructions("ENTRYPOINT")[0]) + yaml.safe_load(instructions("CMD")[0])
    in_the_unit = unit()["ExecStart"][0].split()
    in_the_pod = ["keystead", *pod()["containers"][0]["args"]]
    for command in (in_the_image, in_the_unit, in_the_pod):
        assert Path(command[0]).name == "keystead"
        assert command[1] == "serve"
        context = serve.serve.make_context("serve", command[2:])
        assert context.params["port"] == 8080
    assert in_the_image == in_the_pod == ["keystead", "serve", "--data", "/data", "--host", "0.0.0.0", "--port", "8080"]


def test_the_unit_keeps_its_data_where_it_serves_from() -> None:
    (command,) = unit()["ExecStart"]
    assert f"--data /var/lib/{unit()['StateDirectory'][0]} " in command
    assert unit()["User"] == ["keystead"]
    assert unit()["LimitNOFILE"] == ["65536"]


def test_the_image_runs_as_a_user_without_rights_everywhere() -> None:
    (user,) = instructions("USER")
    context = pod()["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}" == "10001:10001"
    assert context["runAsNonRoot"] is True
    for node in nodes().values():
        assert node["tmpfs"] == ["/tmp", "/data:uid=10001,gid=10001,mode=0700"]
        assert node["read_only"] is True
        assert node["cap_drop"] == ["ALL"]


def test_the_pod_is_what_a_restricted_namespace_admits() -> None:
    (container,) = pod()["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False
    assert manifests()["namespace.yaml"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_manifest_chooses_the_pods_of_the_deployment() -> None:
    found = manifests()
    labels = found["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert found["deployment.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert found["service.yaml"]["spec"]["selector"] == labels
    assert found["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert found["networkpolicy.yaml"]["spec"]["podSelector"]["matchLabels"] == labels
    assert all(one["labelSelector"]["matchLabels"] == labels for one in pod()["topologySpreadConstraints"])
    (backend,) = found["ingress.yaml"]["spec"]["rules"][0]["http"]["paths"]
    assert backend["backend"]["service"]["name"] == found["service.yaml"]["metadata"]["name"]
    for source in pod()["containers"][0]["envFrom"]:
        (reference,) = source.values()
        assert reference["name"] in {
            found[name]["metadata"]["name"] for name in ("configmap.yaml", "secret.example.yaml")
        }


def test_the_kustomization_takes_every_manifest_but_the_example() -> None:
    listed = manifests()["kustomization.yaml"]["resources"]
    assert sorted(listed) == sorted({path.name for path in KUBERNETES.iterdir()} - NO_RESOURCE)


def test_nginx_and_the_nodes_find_and_believe_each_other() -> None:
    services, networks = compose()["services"], compose()["networks"]
    upstreams = re.findall(r"^\s+server (\S+):8080 ", text("nginx.conf"), re.MULTILINE)
    assert upstreams == list(nodes())
    subnet = ipaddress.ip_network(networks["front"]["ipam"]["config"][0]["subnet"])
    addresses = {
        name: one["networks"]["front"]["ipv4_address"] for name, one in services.items() if "front" in one["networks"]
    }
    assert all(ipaddress.ip_address(address) in subnet for address in addresses.values())
    assert environment_example()["KEYSTEAD_TRUSTED_PROXIES"] == f"{addresses['nginx']}/32"
    assert networks["back"]["internal"] is True
    assert [name for name, one in services.items() if "ports" in one] == ["nginx"]


def test_what_a_service_waits_for_is_looked_after() -> None:
    services = compose()["services"]
    waited_for = {name for one in services.values() for name in one.get("depends_on", {})}
    assert waited_for == {"postgres", "valkey", *nodes()}
    conditions = {wait["condition"] for one in services.values() for wait in one.get("depends_on", {}).values()}
    assert conditions == {"service_healthy"}
    assert all("healthcheck" in one and one["restart"] == "unless-stopped" for one in services.values())


def test_the_builder_gets_all_that_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert "*" in lines
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


def test_secrets_that_an_operator_puts_beside_the_files_stay_out_of_the_repository() -> None:
    ignored = text(".gitignore").splitlines()
    named = [compose()["secrets"]["postgres-password"]["file"], *(nodes()["keystead-1"]["env_file"])]  # type: ignore[misc]
    assert named == ["./secrets/postgres-password", "keystead.env"]
    assert {"/keystead.env", "/secrets/", "/tls/"} <= set(ignored)


def test_every_file_is_explained() -> None:
    told = text("README.md")
    names = {path.relative_to(DEPLOY).parts[0] for path in files()} - {"README.md", ".gitignore"}
    assert [name for name in sorted(names) if f"`{name}" not in told] == []
