"""The GitHub action: its parts are what GitHub takes, and its scripts, run as a runner would, do what they should."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / "examples" / "workflows").glob("*.yml"))

#: An implementation that prints what a runner would take for a command, were it not stopped.
TALKS = """
import sys
sys.stderr.write("::error::not mine\\n")
print("::set-output name=status::0", file=sys.stderr)
from gradparity.adapters.serve import main
sys.exit(main("reference"))
"""


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def valid(kind: str, *files: Path) -> bool:
    """Hold files against GitHub's own schema, which check-jsonschema brings along."""
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{kind}"]
    return subprocess.run([*checker, *map(str, files)], capture_output=True, check=False).returncode == 0


def test_the_action_and_the_workflows_are_what_github_takes(tmp_path: Path) -> None:
    assert valid("actions", ACTION)
    assert len(WORKFLOWS) == 2
    assert valid("workflows", *WORKFLOWS)
    spoilt = tmp_path / "spoilt.yml"
    spoilt.write_text(ACTION.read_text().replace("shell: bash\n", "", 1))
    assert not valid("actions", spoilt)
    spoilt.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs:", 1))
    assert not valid("workflows", spoilt)


def test_the_workflows_give_the_action_inputs_that_it_has() -> None:
    inputs = set(load(ACTION)["inputs"])
    steps = [step for file in WORKFLOWS for job in load(file)["jobs"].values() for step in job["steps"]]
    given = [step["with"] for step in steps if step.get("uses", "").startswith("OWNER/gradparity@")]
    assert len(given) == 2
    for one in given:
        assert set(one) <= inputs


def test_no_input_is_pasted_into_a_script() -> None:
    for path in (ACTION, *WORKFLOWS):
        told = load(path)
        steps = (
            told["runs"]["steps"]
            if "runs" in told
            else [s for j in told["jobs"].values() for s in j["steps"]]
        )
        assert steps
        assert not [step["run"] for step in steps if "${{" in step.get("run", "")]


# ------------------------------------------------------------------------------------------- what the scripts do


@dataclass
class Runner:
    """Runs the action's scripts in the order of its steps; installing and uploading are left to GitHub."""

    folder: Path
    inputs: Mapping[str, str]

    def __post_init__(self) -> None:
        action = load(ACTION)
        self.steps = {step.get("name"): step for step in action["runs"]["steps"]}
        self.given: dict[str, str] = {name: one["default"] for name, one in action["inputs"].items()}
        self.given |= self.inputs
        self.outputs: dict[str, str] = {}

    @property
    def summary(self) -> str:
        path = self.folder / "summary"
        return path.read_text() if path.exists() else ""

    def _value(self, expression: str) -> str:
        def found(match: re.Match[str]) -> str:
            kind, _, name = match[1].partition(".")
            if kind == "inputs":
                return self.given[name]
            if kind == "steps":
                return self.outputs[name.removeprefix("judge.outputs.")]
            return {"runner.temp": str(self.folder), "github.action_path": str(ROOT)}[match[1]]

        return re.sub(r"\$\{\{ (\S+) \}\}", found, str(expression))

    def step(self, name: str) -> subprocess.CompletedProcess[str]:
        step = self.steps[name]
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            **{key: self._value(value) for key, value in step.get("env", {}).items()},
        }
        bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            bash, env=environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=240
        )
        written = self.folder / "output"
        if written.exists():
            self.outputs = dict(line.split("=", 1) for line in written.read_text().splitlines())
        return done


def program(*words: str) -> str:
    return "exec:" + shlex.join([sys.executable, *words])


def test_a_run_that_agrees(tmp_path: Path) -> None:
    runner = Runner(tmp_path, {"implementations": "reference\n", "cases": "8", "precision": "float64"})
    assert runner.step("Judge").returncode == 0
    assert runner.outputs == {"status": "0", "run": str(tmp_path / "gradparity-run")}
    done = runner.step("Report")
    assert (done.returncode, done.stdout) == (0, "")
    assert runner.summary.startswith("### gradparity: reference agrees with the reference in float64.")
    run = tmp_path / "gradparity-run"
    assert {"run.json", "report.html", "report.md", "junit.xml", "badge.json"} <= {
        one.name for one in run.iterdir()
    }
    assert runner.step("Answer").returncode == 0


def test_a_run_that_does_not_and_whose_implementations_give_commands(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(TALKS)
    wrong = program(str(ROOT / "tests" / "tampered.py"), "weight")
    runner = Runner(
        tmp_path,
        {
            "implementations": f"{wrong}\n\n{program('talks.py')}\n",
            "cases": "16",
            "name": "mine",
            "answers": "true",
        },
    )
    done = runner.step("Judge")
    assert done.returncode == 0
    token = re.match(r"::stop-commands::([0-9a-f]{32})\n", done.stdout)
    assert token
    assert done.stdout.endswith(f"\n::{token[1]}::\n")
    assert runner.outputs == {"status": "1", "run": str(tmp_path / "mine")}
    settings = json.loads((tmp_path / "mine" / "run.json").read_text())["settings"]
    assert settings["implementations"] == [wrong, program("talks.py")]
    assert settings["answers"] is True
    done = runner.step("Report")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines
    assert all(line.startswith("::error title=exec%3A") for line in lines)
    assert "BP4 is wrong" in runner.summary
    assert runner.step("Answer").returncode == 1


@pytest.mark.parametrize(
    "inputs",
    [{"expect": "no/such.toml"}, {"cases": "none"}, {"implementations": "nobody:"}, {"seed": "$(touch x)"}],
)
def test_wrong_usage_is_the_answer_and_nothing_is_reported(inputs: dict[str, str], tmp_path: Path) -> None:
    runner = Runner(tmp_path, {"implementations": "reference", "cases": "8", **inputs})
    assert runner.step("Judge").returncode == 0
    assert runner.outputs["status"] == "2"
    conditions = [step["if"] for step in runner.steps.values() if "judge" in step.get("if", "")]
    assert conditions == ["steps.judge.outputs.status != '2'"] * 2  # the report, and its upload
    assert runner.step("Answer").returncode == 2
    assert not (tmp_path / "x").exists()
    assert runner.summary == ""
