"""Files that a program reads as they are: YAML, workflows, the Dockerfile, compose files, units of systemd."""

import re

from tools import DEPLOY, HERE, ROOT, ensure, run, tool


def check_yaml():
    """YAML is well-formed, without keys that are there twice."""
    places = [DEPLOY, ROOT / ".github", HERE]
    files = [path for place in places for end in ("*.yaml", "*.yml") for path in sorted(place.rglob(end))]
    # Templates of Helm are YAML only when they are rendered: manifests.py looks at that.
    files = [path for path in files if "templates" not in path.parts]
    run(tool("yamllint"), "--strict", "-c", HERE / "yamllint.yaml", *files)
    return f"{len(files)} files"


def check_workflows():
    """GitHub takes the workflows, and every step of .ci/run that they name exists."""
    files = sorted((ROOT / ".github/workflows").glob("*.yml"))
    run(tool("actionlint"), *files)
    steps = set(re.search(r"(?m)^steps=\((.*)\)$", (ROOT / ".ci/run").read_text())[1].split())
    named = set()
    for text in (path.read_text() for path in files):
        for line in re.findall(r"\bsteps: ([a-z][a-z ]*)|\.ci/run ([a-z][a-z ]*)$", text, re.M):
            named |= {word for words in line for word in words.split()}
    ensure(named <= steps, f"workflows name steps that .ci/run does not have: {sorted(named - steps)}")
    return f"{len(files)} workflows"


def check_dockerfile():
    """The Dockerfile has no habit that hadolint warns of."""
    run(tool("hadolint"), "--failure-threshold", "warning", ROOT / "Dockerfile")
    return "Dockerfile"
