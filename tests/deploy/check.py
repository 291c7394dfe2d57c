"""Runs the checks of deploy/ one after the other; tests/deploy/run prepares what they need."""

import argparse
import sys
import time

import configurations
import dashboards
import expressions
import lint
import manifests
import probes
import rules
from tools import Wrong, ensure, shown

CHECKS = {
    "yaml": lint.check_yaml,
    "workflows": lint.check_workflows,
    "dockerfile": lint.check_dockerfile,
    "compose": lint.check_compose,
    "systemd": lint.check_unit,
    "debian package": lint.check_package,
    "debian scripts": lint.check_scripts,
    "configurations": configurations.check_files,
    "chart": manifests.check_chart,
    "chart refuses": manifests.check_refusals,
    "chart packed": manifests.check_packaged,
    "probes": probes.check,
    "examples of the documents": manifests.check_examples,
    "kustomize": manifests.check_kustomize,
    "rules": rules.check_syntax,
    "rule tests": rules.check_tests,
    "runbooks": rules.check_runbooks,
    "dashboards": dashboards.check,
    "expressions": expressions.check_names,
    "expressions at a gateway": expressions.check_data,
}


def generated():
    """Files that are made from others, with the text they must have."""
    return dict([rules.manifest(), manifests.base()]) | dashboards.generated()


def check_generated():
    """Generated files are as they would be written."""
    stale = [shown(path) for path, text in generated().items() if not path.exists() or path.read_text() != text]
    ensure(not stale, f"these are out of date, `tests/deploy/run --update` writes them: {stale}")
    return f"{len(generated())} files"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--only", default="", help="checks whose name has this text")
    arguments.add_argument("--update", action="store_true", help="write generated files instead of comparing them")
    arguments = arguments.parse_args()
    if arguments.update:
        for path, text in generated().items():
            path.write_text(text)
    passed, failed = 0, 0
    for name, check in {"generated files": check_generated, **CHECKS}.items():
        if arguments.only not in name:
            continue
        begun = time.monotonic()
        try:
            print(f"ok    {name}: {check()} ({time.monotonic() - begun:.1f} s)", flush=True)
            passed += 1
        except Wrong as wrong:
            print(f"WRONG {name}: {wrong}", flush=True)
            failed += 1
    print(f"deploy: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
