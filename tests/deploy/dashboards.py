"""Dashboards: what Grafana needs to load them, and that they are what generate.py writes."""

import importlib.util
import json

from tools import DEPLOY, ensure, shown

GRAFANA = DEPLOY / "grafana"


def generated():
    """The text of each dashboard, by its path."""
    spec = importlib.util.spec_from_file_location("generate", GRAFANA / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.files()


def check():
    """Every dashboard is complete: unique names and places, and variables that exist."""
    panels, names = 0, set()
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        ensure(board["uid"] not in names, f"{shown(path)}: its uid is taken")
        names.add(board["uid"])
        known = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval"}
        taken = {}
        for panel in board["panels"]:
            where = f"{shown(path)}: {panel['title']}"
            place = panel["gridPos"]
            ensure(place["x"] + place["w"] <= 24, f"{where}: reaches over the edge")
            for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
                ensure(cell not in taken, f"{where}: lies over {taken.get(cell)}")
                taken[cell] = panel["title"]
            for target in panel.get("targets", ()):
                used = {word.split("{")[0] for word in target["expr"].replace("${", "$").split("$")[1:]}
                used = {"".join(letter if letter.isalnum() or letter == "_" else " " for letter in word).split()[0] for word in used}
                ensure(used <= known, f"{where}: unknown variables {sorted(used - known)}")
            panels += 1
    return f"{panels} panels on {len(names)} dashboards"
