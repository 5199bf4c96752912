"""Workers, batches and threads of given machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.machine import Machine
from scripts.sizing import BASE_BYTES, WORKER_BYTES, Model, make_plan, read_model, read_workers
from tests.helpers.colour_archive import colour_card, write_colour_archive
from weakseg.archive import THREADS_VARIABLE
from weakseg.errors import ModelError
from weakseg.serving import _with_threads

PLENTY = 2**40


def model(name: str, threads: int = 1) -> Model:
    return Model(name, "1.0", threads, batch_size=8, max_batch_delay_ms=1, response_timeout_s=120)


ONE, TWO, WIDE = model("one"), model("two"), model("wide", threads=4)


@pytest.mark.parametrize(
    ("cores", "models", "workers"),
    [
        (1, [ONE], {"one": 1}),
        (1, [ONE, TWO], {"one": 1, "two": 1}),
        (2, [ONE, TWO], {"one": 1, "two": 1}),
        (5, [ONE, TWO], {"one": 3, "two": 2}),
        (8, [ONE], {"one": 8}),
        (8, [WIDE], {"wide": 2}),
        (7, [WIDE], {"wide": 1}),
        (7, [WIDE, ONE], {"wide": 1, "one": 3}),
    ],
)
def test_workers_times_threads_never_exceed_the_cores(cores: int, models: list[Model], workers: dict[str, int]) -> None:
    plan = make_plan(Machine(cores, PLENTY), models)
    assert plan.workers == workers
    used = sum(share.workers * share.model.threads for share in plan.shares)
    assert used <= max(cores, len(models)), "one worker each at least"
    assert plan.threads is None


def test_a_worker_wider_than_the_machine_gets_its_cores() -> None:
    plan = make_plan(Machine(2, PLENTY), [WIDE])
    assert (plan.workers, plan.threads) == ({"wide": 1}, 2)


@pytest.mark.parametrize(
    ("cores", "models", "wanted", "threads"),
    [(4, [WIDE, ONE], {}, 2), (2, [WIDE, ONE], {}, 1), (4, [WIDE], {"wide": 2}, 2)],
)
def test_workers_that_do_not_fit_beside_each_other_get_fewer_threads(
    cores: int, models: list[Model], wanted: dict[str, int], threads: int
) -> None:
    plan = make_plan(Machine(cores, PLENTY), models, wanted)
    assert plan.threads == threads
    assert sum(plan.workers.values()) * threads <= cores
    assert "more than the cores" not in plan.reason


@pytest.mark.parametrize("fit", [1, 3])
def test_memory_bounds_them_too(fit: int) -> None:
    plan = make_plan(Machine(64, BASE_BYTES + fit * WORKER_BYTES), [ONE])
    assert plan.workers == {"one": fit}
    assert "more than there is" not in plan.reason


def test_what_cannot_fit_is_said() -> None:
    plan = make_plan(Machine(1, BASE_BYTES), [ONE, TWO])
    assert plan.workers == {"one": 1, "two": 1}
    assert "2 threads are more than the cores" in plan.reason
    assert "more than there is" in plan.reason


def test_who_decides_has_decided() -> None:
    assert make_plan(Machine(8, PLENTY), [ONE, TWO], {"one": 5}).workers == {"one": 5, "two": 3}
    assert make_plan(Machine(2, PLENTY), [ONE, TWO], {"one": 5}).workers == {"one": 5, "two": 1}


def test_a_gpu_takes_one_worker_of_each_model() -> None:
    plan = make_plan(Machine(16, PLENTY, gpus=2), [ONE, TWO])
    assert plan.workers == {"one": 2, "two": 2}
    assert {(share.batch_size, share.max_batch_delay_ms) for share in plan.shares} == {(8, 1)}, (
        "the archive's: TorchServe takes no others"
    )
    assert plan.threads == 4, "refinement runs on the cores"
    assert make_plan(Machine(16, PLENTY, gpus=1), [ONE], {"one": 3}).workers == {"one": 3}


def test_the_property_is_what_torchserve_reads() -> None:
    plan = make_plan(Machine(3, PLENTY), [ONE])
    assert json.loads(plan.as_property()) == {
        "one": {
            "1.0": {
                "defaultVersion": True,
                "marName": "one.mar",
                "minWorkers": 3,
                "maxWorkers": 3,
                "batchSize": 8,
                "maxBatchDelay": 1,
                "responseTimeout": 120,
            }
        }
    }
    assert "\n" not in plan.as_property()


def test_the_reason_names_the_machine_and_what_came_of_it() -> None:
    assert make_plan(Machine(2, 16 * 2**30), [ONE]).reason == (
        "2 cores, 16.0 GiB of memory, no GPU: one gets 2 workers x 1 thread (batches of 8, 1 ms)"
    )


def test_workers_take_the_threads_that_the_plan_has_for_them() -> None:
    card = colour_card(threads=2)
    assert _with_threads(card, {}).threads == 2
    assert _with_threads(card, {THREADS_VARIABLE: "5"}).threads == 5


def test_what_an_archive_says(tmp_path: Path) -> None:
    archive = write_colour_archive(tmp_path / "colours.mar")
    read = read_model(archive)
    assert (read.name, read.threads) == ("colours", 1)


def test_workers_by_hand() -> None:
    assert read_workers("3", ("one", "two")) == {"one": 3, "two": 3}
    assert read_workers("two=4", ("one", "two")) == {"two": 4}
    assert read_workers("one=1, two=4", ("one", "two")) == {"one": 1, "two": 4}


@pytest.mark.parametrize(
    ("text", "said"),
    [("0", "'0'"), ("many", "'many'"), ("one=x", "'x'"), ("three=1", "'three' is none of one, two"), ("", "''")],
)
def test_nonsense_is_refused(text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read_workers(text, ("one", "two"))
