"""The script that runs a person's command in the cloud, before an `aws` that answers as the real one does and writes
down what it was asked: the real one needs an account."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.infra.test_templates import AWS, read

FAKE = """#!/bin/sh
printf '%s\\n' "$*" >> "$ASKED"
case "$1 $2" in
  "cloudformation describe-stacks") echo "the-$(printf '%s' "$*" | sed "s/.*OutputKey=='\\([A-Za-z]*\\)'.*/\\1/")" ;;
  "ecs run-task") echo arn:aws:ecs:eu-west-1:1:task/c/abc123 ;;
  "logs tail") echo "what it said" ;;
  "ecs describe-tasks") echo 4 ;;
esac
"""


def test_a_command_is_run_as_a_task_and_its_words_and_status_come_back(tmp_path: Path) -> None:
    """Words with spaces stay whole; the log is that of the task; each output that it asks for is one of the stack's."""
    (tmp_path / "aws").write_text(FAKE)
    (tmp_path / "aws").chmod(0o755)
    words = ["resolve", "JOB", "--give-up", "--why", 'they said "no"']
    done = subprocess.run(
        [AWS / "run.sh", *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin", "ASKED": str(tmp_path / "asked"), "STACK": "mine"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "what it said\n", "")
    asked = (tmp_path / "asked").read_text()
    outputs = set(re.findall(r"OutputKey=='(\w+)'", asked))
    assert outputs <= read("memoline.yaml")["Outputs"].keys()
    assert "--stack-name mine" in asked
    run = next(line for line in asked.splitlines() if line.startswith("ecs run-task"))
    overrides = json.loads(re.findall(r"--overrides (\{.*\}) --query", run)[0])
    task = read("services.yaml")["Resources"]["OperatorTask"]["Properties"]
    [container] = task["ContainerDefinitions"]
    assert overrides == {"containerOverrides": [{"name": container["Name"], "command": words}]}
    assert "subnets=[the-PrivateSubnets],securityGroups=[the-ProcessGroupId]" in run
    prefix = container["LogConfiguration"]["Options"]["awslogs-stream-prefix"]
    assert f"--log-stream-names {prefix}/{container['Name']}/abc123" in asked
