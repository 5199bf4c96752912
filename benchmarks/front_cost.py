"""CPU time of the HTTP front per request, before a TorchServe that answers at once.

    python -m benchmarks.front_cost --requests 3000 --clients 8

Only the front's own process is counted; the clients and the fake TorchServe run in others' time.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from front.settings import CONFIG_VARIABLE
from tests.helpers.fake_torchserve import FakeTorchServe
from tests.helpers.front import free_port

BODY_BYTES = 45_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--clients", type=int, default=8)
    asked = parser.parse_args()
    with FakeTorchServe() as torchserve, tempfile.TemporaryDirectory() as folder:
        torchserve.add_model("weakseg")
        port = free_port()
        config = Path(folder, "config.properties")
        config.write_text(
            f"weakseg_address=http://127.0.0.1:{port}\n"
            f"weakseg_metrics_address=http://127.0.0.1:{free_port()}\n"
            f"inference_address=http://127.0.0.1:{torchserve.inference_port}\n"
            f"management_address=http://127.0.0.1:{torchserve.management_port}\n"
        )
        front = subprocess.Popen(
            [sys.executable, "-m", "front"],
            env=os.environ | {CONFIG_VARIABLE: str(config)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(port)
            _send(port, 200, asked.clients)  # warm
            before, started = _cpu_s(front.pid), time.perf_counter()
            _send(port, asked.requests, asked.clients)
            wall_s, cpu_s = time.perf_counter() - started, _cpu_s(front.pid) - before
        finally:
            front.terminate()
            front.wait(30)
    print(f"load average {os.getloadavg()[0]:.1f}; {asked.requests} requests of {BODY_BYTES:,} bytes")
    print(f"{1000 * cpu_s / asked.requests:.3f} ms of CPU per request; {asked.requests / wall_s:.0f} requests/s")


def _cpu_s(pid: int) -> float:
    """Of Granian's main process and its worker."""
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def _send(port: int, count: int, clients: int) -> None:
    body = os.urandom(BODY_BYTES)

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(count // clients):
            connection.request(
                "POST", "/predictions/weakseg?format=mask", body, {"Content-Type": "image/jpeg", "Accept": "*/*"}
            )
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"status {answer.status}")

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _wait(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError("the front did not start")


if __name__ == "__main__":
    main()
