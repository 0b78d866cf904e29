"""The dashboard, the alarms and the pages speak of metrics and label values that `serve` gives out from the start."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.settings import Settings
from tests.infra.test_templates import AWS, ROOT, read
from workers.clock import SteadyClock
from workers.hints import Hints
from workers.web.figures import Figures
from workers.web.office import OUTCOMES
from workers.web.tally import Tally
from workers.wiring import open_ledger

Samples = dict[str, list[dict[str, str]]]
_SELECTED = re.compile(r"(memoline_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)(=~?)\"([^\"]*)\"")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Every sample of a fresh `serve`: its name, and the labels that it comes with."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    figures = Figures(settings, open_ledger(settings), Hints(None), SteadyClock(), Tally(OUTCOMES))
    text = generate_latest(figures.brought_up_to_date()).decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.endswith("_created"):  # when the library made a counter: not a figure of ours
                continue
            found.setdefault(sample.name, []).append(dict(sample.labels))
            assert sample.value == 0 or sample.name == "memoline_part_up", sample
    return found


def expressions() -> Iterator[str]:
    """Every expression of the dashboard."""
    for panel in json.loads((ROOT / "infra/grafana/memoline.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def missing(expression: str, samples: Samples) -> list[str]:
    """What an expression names that is not there."""
    wrong = []
    for name, selectors in _SELECTED.findall(expression):
        if name not in samples:
            wrong.append(name)
        for label, sign, value in _LABEL.findall(selectors):
            for word in value.split("|") if sign == "=~" else [value]:
                known = any(labels.get(label) == word for labels in samples.get(name, []))
                wrong += [] if known else [f"{name}{{{label}={word}}}"]
    for labels in re.findall(r"by \(([^)]*)\) \(+(?:rate\()?(memoline_\w+)", expression):
        known = {label for one in samples.get(labels[1], []) for label in one}
        wrong += [f"{labels[1]} by {one}" for one in re.split(r", *", labels[0]) if one not in known]
    return wrong


def test_the_dashboard_shows_what_there_is(samples: Samples) -> None:
    """Names, label values and groupings; and no family is left out of it."""
    asked = list(expressions())
    assert [found for expression in asked for found in missing(expression, samples)] == []
    shown = {name.removesuffix("_bucket") for expression in asked for name, _ in _SELECTED.findall(expression)}
    given = {re.sub(r"_(bucket|count|sum)$", "", name) for name in samples}
    assert given - shown == set()


def test_a_name_that_is_not_there_is_noticed(samples: Samples) -> None:
    """The check can fail: by name, by value and by grouping."""
    assert missing("max(memoline_job)", samples)
    assert missing('max(memoline_jobs{state="LOST"})', samples)
    assert missing('max by (code) (memoline_jobs{state=~"SENT|HELD"})', samples)
    assert not missing('max by (state) (memoline_jobs{state=~"SENT|HELD"})', samples)


def alarms() -> Iterator[tuple[str, dict[str, Any]]]:
    """Alarms of the templates on metrics of ours."""
    for path in sorted(AWS.glob("*.yaml")):
        for key, resource in read(path.name)["Resources"].items():
            about = resource.get("Properties", {})
            if resource["Type"] == "AWS::CloudWatch::Alarm" and str(about.get("MetricName")).startswith("memoline_"):
                yield f"{path.name} {key}", about


def test_the_clouds_alarms_watch_what_there_is(samples: Samples) -> None:
    """Each is on a metric that the collector hands on with just these dimensions."""
    handed_on = declarations()
    names = [name for name, _ in alarms()]
    assert len(names) >= 5
    for name, about in alarms():
        dimensions = {one["Name"]: one["Value"] for one in about.get("Dimensions", [])}
        metric = about["MetricName"]
        assert dimensions in samples.get(metric, []), (name, metric, dimensions)
        assert any(
            set(dimensions) in [set(some) for some in one["dimensions"]]
            and any(re.search(pattern, metric) for pattern in one["metric_name_selectors"])
            for one in handed_on
        ), name


def declarations() -> list[dict[str, Any]]:
    """What the cloud's collector hands on to CloudWatch."""
    [text] = re.findall(r"metric_declarations:\n(.*?)\n +service:", (AWS / "services.yaml").read_text(), re.DOTALL)
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


def test_the_page_explains_each_metric_and_each_alarm(samples: Samples) -> None:
    """docs/operations.md names every family that is given out and every alarm, and no other."""
    page = (ROOT / "docs/operations.md").read_text()
    given = {re.sub(r"_(bucket|count|sum)$", "", name) for name in samples}
    named = set(re.findall(r"`(memoline_\w+)", page))
    assert named ^ given == set()
    alarmed = {key for key, resource in read("alarms.yaml")["Resources"].items() if "Alarm" in resource["Type"]}
    assert {key for key in alarmed if f"`{key}`" not in page} == set()
