"""The templates are well formed, and our own rules hold of them; each rule is shown to notice what it is there for."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import cfn_guard_rs
import pytest
from cfnlint.api import lint_file
from cfnlint.decode.cfn_yaml import load

ROOT = Path(__file__).parents[2]
AWS = Path(__file__).parents[2] / "infra" / "aws"
RULES = (AWS / "rules.guard").read_text()
TEMPLATES = sorted(path.name for path in AWS.glob("*.yaml"))
Template = dict[str, Any]


def plain(value: Any) -> Any:
    """A template without the places that the reader remembers."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def read(name: str) -> Template:
    """A template, the short forms of its functions written out."""
    template: Template = plain(load(str(AWS / name)))
    return template


def broken_rules(template: Template) -> set[str]:
    """The names of our rules that do not hold."""
    head, *rules = re.split(r"^(?=rule )", RULES, flags=re.MULTILINE)
    return {rule.split()[1] for rule in rules if not _holds(template, head + rule)}


def _holds(template: Template, rule: str) -> bool:
    try:
        return not cfn_guard_rs.run_checks(template, rule).not_compliant
    except JSONDecodeError:  # what the library says of a broken rule is cut off where it is long
        return False


@pytest.mark.parametrize("name", TEMPLATES)
def test_cloudformation_would_take_it(name: str) -> None:
    """cfn-lint finds nothing."""
    assert [str(match) for match in lint_file(AWS / name)] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_our_rules_hold(name: str) -> None:
    """None is broken."""
    assert broken_rules(read(name)) == set()


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_stands_without_yaml_aliases(name: str) -> None:
    """CloudFormation's own reader knows none ("Template formats" in its guide)."""
    text = (AWS / name).read_text()
    assert not [line for line in text.splitlines() if line.strip().startswith(("<<:", "- &", "- *")) or ": &" in line]


def _drop(*path: Any) -> Callable[[Template], None]:
    def change(template: Template) -> None:
        for step in path[:-1]:
            template = template[step]
        del template[path[-1]]

    return change


def _put(value: Any, *path: Any) -> Callable[[Template], None]:
    def change(template: Template) -> None:
        for step in path[:-1]:
            template = template[step]
        template[path[-1]] = value

    return change


RES, PROPS = "Resources", "Properties"
STATEMENT = (RES, "AudioRole", PROPS, "Policies", 0, "PolicyDocument", "Statement", 0)
BEHAVIOUR = (RES, "Distribution", PROPS, "DistributionConfig", "DefaultCacheBehavior")
MUTANTS = [
    ("storage.yaml", _drop(RES, "MemoBucket", PROPS, "PublicAccessBlockConfiguration"), "buckets_are_private"),
    ("storage.yaml", _drop(RES, "InboxBucket", PROPS, "OwnershipControls"), "buckets_are_private"),
    ("storage.yaml", _drop(RES, "InboxBucket", PROPS, "BucketEncryption"), "buckets_are_encrypted"),
    ("storage.yaml", _drop(RES, "MemoBucket", PROPS, "LifecycleConfiguration"), "buckets_expire_and_abort"),
    ("storage.yaml", _drop(RES, "MemoBucket", PROPS, "LifecycleConfiguration", "Rules", 5), "buckets_expire_and_abort"),
    ("storage.yaml", _drop(RES, "MemoBucket", "DeletionPolicy"), "buckets_are_kept"),
    ("storage.yaml", _drop(RES, "InboxDeadQueue", PROPS, "SqsManagedSseEnabled"), "queues_are_encrypted"),
    ("storage.yaml", _put("allow-all", *BEHAVIOUR, "ViewerProtocolPolicy"), "the_cdn_speaks_new_tls"),
    ("roles.yaml", _put("s3:*", *STATEMENT, "Action"), "roles_name_what_they_may"),
    ("roles.yaml", _put(["s3:GetObject", "s3:*"], *STATEMENT, "Action"), "roles_name_what_they_may"),
    ("roles.yaml", _put("*", *STATEMENT, "Resource"), "roles_name_what_they_may"),
    ("data.yaml", _put(True, RES, "Database", PROPS, "PubliclyAccessible"), "databases_are_private_and_kept"),
    ("data.yaml", _drop(RES, "Database", PROPS, "StorageEncrypted"), "databases_are_private_and_kept"),
    ("data.yaml", _drop(RES, "Broker", PROPS, "TransitEncryptionEnabled"), "brokers_are_encrypted"),
    ("web.yaml", _put("HTTP", RES, "Listener", PROPS, "Protocol"), "listeners_speak_tls"),
    (
        "web.yaml",
        _put(22, RES, "BalancerGroup", PROPS, "SecurityGroupIngress", 0, "FromPort"),
        "groups_let_in_only_https_from_anywhere",
    ),
    (
        "services.yaml",
        _drop(RES, "AudioTask", PROPS, "ContainerDefinitions", 0, "ReadonlyRootFilesystem"),
        "containers_cannot_change_themselves",
    ),
    (
        "services.yaml",
        _put("ENABLED", RES, "WebService", PROPS, "NetworkConfiguration", "AwsvpcConfiguration", "AssignPublicIp"),
        "services_are_not_public",
    ),
]


@pytest.mark.parametrize(("name", "change", "rule"), MUTANTS, ids=[f"{m[2]}-{i}" for i, m in enumerate(MUTANTS)])
def test_a_rule_notices(name: str, change: Callable[[Template], None], rule: str) -> None:
    """The changed template breaks it."""
    template = copy.deepcopy(read(name))
    change(template)
    assert rule in broken_rules(template)


PARTS = {
    key: (resource["Properties"]["TemplateURL"], resource["Properties"]["Parameters"])
    for key, resource in read("memoline.yaml")["Resources"].items()
}


@pytest.mark.parametrize("name", PARTS)
def test_the_whole_hands_every_parameter_to_its_parts(name: str) -> None:
    """None of a part's can be set in the part alone, and what a part does without being told is what the whole says."""
    template, given = PARTS[name]
    own, whole = read(template)["Parameters"], read("memoline.yaml")["Parameters"]
    assert given.keys() == own.keys() - {"RequireTls"}  # only an emulator goes without
    limits = ("Default", "AllowedValues", "AllowedPattern", "MinValue", "MaxValue")
    for key in own.keys() & whole.keys():
        if given.get(key) == {"Ref": key} and "Default" in own[key]:
            assert {one: own[key].get(one) for one in limits} == {one: whole[key].get(one) for one in limits}, key


def test_all_processes_have_the_same_settings() -> None:
    """What is a setting of how Memoline works is said to all of them: a job goes through several."""
    own = {"MEMOLINE_HTTP_HOST", "MEMOLINE_HTTP_PORT", "MEMOLINE_HTTP_RATE", "MEMOLINE_RETENTION_DAYS"}
    own |= {"MEMOLINE_CDN_DISTRIBUTION_ID", "MEMOLINE_CDN_SIGNING_KEY_ID", "MEMOLINE_CDN_URL_TTL_S"}
    tasks = [one for one in read("services.yaml")["Resources"].values() if one["Type"] == "AWS::ECS::TaskDefinition"]
    found = [_settings_of(task["Properties"]["ContainerDefinitions"][0]) - own for task in tasks]
    assert len(found) == 6
    assert all(one == found[0] for one in found)
    assert {"MEMOLINE_OVERFLOW", "MEMOLINE_QUIET_HOURS", "MEMOLINE_LINE_DAILY_LIMIT"} <= found[0]


def _settings_of(container: Template) -> set[str]:
    rows = (row["Fn::If"][1] if "Fn::If" in row else row for row in container["Environment"])
    return {row["Name"] for row in rows}


def test_the_collector_may_write_its_figures() -> None:
    """It has the rights of the web task: without them no alarm would ever see a figure."""
    policy = read("services.yaml")["Resources"]["FiguresPolicy"]["Properties"]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert "WebRoleArn" in str(policy["Roles"])
    assert set(statement["Action"]) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert statement["Resource"] == {"Fn::GetAtt": ["Logs", "Arn"]}


def test_an_alarm_reaches_its_topic() -> None:
    """The key that AWS keeps for SNS does not let alarms in; this one does."""
    resources = read("alarms.yaml")["Resources"]
    assert resources["Topic"]["Properties"]["KmsMasterKeyId"] == {"Ref": "TopicKey"}
    said = resources["TopicKey"]["Properties"]["KeyPolicy"]["Statement"]
    assert [one["Action"] for one in said if one["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]


def test_an_update_leaves_the_number_of_tasks_alone() -> None:
    """Of every service that scales by itself."""
    resources = read("services.yaml")["Resources"]
    scaled = [
        re.findall(r"\$\{(\w+)\.Name\}", str(one["Properties"]["ResourceId"]))[0]
        for one in resources.values()
        if one["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
    ]
    assert sorted(scaled) == ["AudioService", "SendService", "WebService"]
    assert not [name for name in scaled if "DesiredCount" in resources[name]["Properties"]]
