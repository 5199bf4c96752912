"""What is measured, and against what; no service is started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import serving_grid
from benchmarks.accounts import FRONT, JAVA, OTHERS, WORKERS, role_of
from benchmarks.in_process import in_process
from benchmarks.photo import benchmark_photo
from benchmarks.samples import Exchange, Round
from benchmarks.serving_grid import Case, choose_cases
from tests.helpers.colour_archive import write_colour_archive


def test_all_batches_with_one_worker_and_with_all() -> None:
    assert choose_cases(2) == [
        *(Case(workers, batch, "onnx") for workers in (1, 2) for batch in (1, 4, 8)),
        Case(2, 1, "torchscript"),
        Case(2, 8, "torchscript"),
    ]


def test_workers_double_up_to_all_and_no_case_comes_twice() -> None:
    cases = choose_cases(12)
    assert sorted(case.workers for case in cases if case[1:] == (8, "onnx")) == [1, 2, 4, 8, 12]
    assert len(set(cases)) == len(cases)
    assert len(choose_cases(1)) == len(set(choose_cases(1))) == 5


def test_ratios_name_their_partner() -> None:
    speeds = {Case(1, 1, "onnx"): 10.0, Case(1, 8, "onnx"): 12.0, Case(2, 1, "onnx"): 18.0, Case(2, 8, "onnx"): 30.0}
    measured = {case: [Round((Exchange(0, 0, 1, 200),), speed, 1.0)] for case, speed in speeds.items()}
    row = serving_grid._row(Case(2, 8, "onnx"), measured)
    assert (row["x batch 1"], row["x 1 worker"], row["x onnx"]) == (30 / 18, 30 / 12, 1)
    assert serving_grid._row(Case(1, 1, "onnx"), measured)["images/s"] == 10


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    cases = choose_cases(4)
    measured = {case: [Round((), float(case.workers * case.batch), 1.0)] for case in cases}
    with Image.open(serving_grid._plot(measured, tmp_path / "deep" / "batches.png")) as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_the_pipeline_asks_itself_in_processes_of_its_own(tmp_path: Path) -> None:
    archive = write_colour_archive(tmp_path / "colours.mar")
    with in_process(archive, benchmark_photo(), {"format": "mask"}, processes=2, batch=2) as run:
        made = run(0.05, 0.0)
    assert {each.status for each in made.exchanges} == {200}
    assert made.whole >= 4  # two processes, two at a time
    assert made.answered > 0
    assert made.cpu_s["workers"] > 0


def test_processes_are_known_by_what_they_run() -> None:
    assert role_of(["java", "-cp", "model-server.jar", "org.pytorch.serve.ModelServer"]) == JAVA
    assert role_of(["python", "/x/ts/model_service_worker.py", "--sock-type", "unix"]) == WORKERS
    assert role_of(["python", "-P", "-m", "front"]) == FRONT
    assert role_of(["python", "-P", "-m", "scripts.supervisor", "/tmp/front/programs.json"]) == OTHERS
