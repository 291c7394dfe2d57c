"""What a deployment says of starting and ending, at a gateway that runs the chart's configuration."""

import re
import signal
import tempfile
from pathlib import Path

from configurations import placed
from manifests import rendered
from ports import free_port
from process import GUARD_SECONDS, ask, eventually, running
from tools import attache, ensure

# Short, so that the check is: the rest is the chart's own.
VALUES = {"shutdown": {"preStopSeconds": 0, "drainDelaySeconds": 2, "drainTimeoutSeconds": 5, "streamGraceSeconds": 5}}


def check():
    """Probes answer 200 while the gateway serves; after SIGTERM /ready fails, traffic is still served, and it ends with 0."""
    documents = {document["kind"]: document for document in rendered(VALUES)}
    container = documents["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    ensure(all(probe["port"] == "metrics" for probe in probes.values()), "a probe asks another port")
    text = documents["ConfigMap"]["data"]["gateway.yaml"]
    ports = {8080: free_port(), 9090: free_port()}
    text = re.sub(r"0\.0\.0\.0:(\d+)", lambda found: f"127.0.0.1:{ports[int(found[1])]}", text)
    with tempfile.TemporaryDirectory(prefix="attache-probes-") as directory:
        file, log = placed(Path(directory), text, {}), Path(directory) / "gateway.log"
        with running([attache(), *container["args"][:2], file], log) as process:
            def answer(kind):
                return ask(f"http://127.0.0.1:{ports[9090]}{probes[kind]['path']}")[0]

            eventually("it starts", lambda: answer("startup") == 200, process, log)
            ensure(answer("readiness") == 200 and answer("liveness") == 200, "started, and not ready")
            process.send_signal(signal.SIGTERM)
            eventually("it says that it ends", lambda: answer("readiness") == 503, process, log)
            ensure(answer("liveness") == 200, "a gateway that drains would be killed by its liveness probe")
            status, body = ask(f"http://127.0.0.1:{ports[8080]}/")
            ensure(status == 404 and "without routes" in body, f"it does not serve while it waits: {status} {body}")
            ensure(process.wait(GUARD_SECONDS) == 0, f"it ended with {process.returncode}")
    return f"{len(probes)} probes, and the end"
