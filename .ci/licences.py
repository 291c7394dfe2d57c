"""Every package in Cargo.lock has a licence that deny.toml lists; where a choice is offered, one of the choices has."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def satisfied(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression holds with only `allowed` licences."""
    words = re.findall(r'[()]|[^\s()]+', expression.replace('/', ' OR '))
    position = 0

    def either() -> bool:
        nonlocal position
        result = both()
        while position < len(words) and words[position] == 'OR':
            position += 1
            result = both() or result
        return result

    def both() -> bool:
        nonlocal position
        result = one()
        while position < len(words) and words[position] == 'AND':
            position += 1
            result = one() and result
        return result

    def one() -> bool:
        nonlocal position
        word = words[position]
        position += 1
        if word == '(':
            result = either()
            position += 1
            return result
        if position < len(words) and words[position] == 'WITH':
            word += ' WITH ' + words[position + 1]
            position += 2
        return word in allowed

    return either()


def main() -> int:
    allowed = set(tomllib.loads((ROOT / 'deny.toml').read_text())['licenses']['allow'])
    command = ['cargo', 'metadata', '--format-version', '1', '--locked']
    packages = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)['packages']
    refused = [
        f'{package["name"]} {package["version"]}: {package["license"]}'
        for package in packages
        if not satisfied(package['license'] or 'none', allowed)
    ]
    foreign = [package['name'] for package in packages if package['source'] and 'crates.io-index' not in package['source']]
    for line in refused + [f'{name} does not come from crates.io' for name in foreign]:
        print(line)
    print(f'{len(packages)} packages locked, {len(refused)} with a licence that is not listed')
    return 1 if refused or foreign else 0


if __name__ == '__main__':
    sys.exit(main())
