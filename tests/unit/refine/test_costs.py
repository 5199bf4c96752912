"""Costs are measured where they run, so that only their arithmetic can be checked by hand."""

import time

import pytest

from tests.helpers.fakes import make_card
from weakseg.card import Settings, Sides
from weakseg.options import CrfEngineName, Refine, parse_options
from weakseg.refine import costs as costs_module
from weakseg.refine.costs import Cost, Costs, Work, measure_costs
from weakseg.refine.crf import find_engine
from weakseg.refine.densecrf.problem import CrfEngine

PLAIN = Settings(refine=Refine.NONE, threshold=0.5)


def test_a_cost_is_linear_in_pixels_and_in_labels() -> None:
    assert Cost(2.0, 0.01).at(300, labels=1) == 5
    assert Cost(2.0, 0.01, per_label=0.5).at(300, labels=3) == 10


def ranking() -> tuple[Settings, ...]:
    fields = {"ranking": [{"refine": name} for name in ("crf+grabcut", "gaussian+crf", "guided", "gaussian")]}
    return make_card(photo_task=fields).ranking(parse_options({"refine": "auto"}))


def parts_of(*settings: Settings) -> Costs:
    """1 ms per CRF, 10 per GrabCut, 100 per guided filter, 0.001 per pixel of a plain cut, 1000 for a frame."""
    both, _, guided, gaussian, _ = settings
    costs = {
        Settings(refine=Refine.CRF, crf=both.crf, threshold=0.5): Cost(1, 0),
        Settings(refine=Refine.GRABCUT, grabcut_engine="fast", levels=(0.25, 0.5, 0.8), iterations=1): Cost(0, 1e-3),
        Settings(refine=Refine.GUIDED, guided=guided.guided, threshold=0.5): Cost(100, 0),
        Settings(refine=Refine.GAUSSIAN, sigma=gaussian.sigma, threshold=0.5): Cost(0, 2e-3),
        PLAIN: Cost(0, 1e-3),
    }
    return Costs(Sides(guided=50, crf=50, grabcut=100), costs, frame=Cost(0, 0.1))


def test_a_refinement_costs_what_its_steps_cost_at_their_sizes() -> None:
    settings = ranking()
    costs = parts_of(*settings)
    small = Work((40, 50), labels=1)
    assert [costs.estimate_ms(each, small) for each in settings] == [1 + 2, 1, 100, 4, 2]
    large = Work((160, 200), labels=1)  # GrabCut sees 80 x 100 of it
    frame = 160 * 200 * 0.1
    expected = [1 + 8 + frame, 1 + frame, 100 + frame, 64, 32]
    assert [costs.estimate_ms(each, large) for each in settings] == pytest.approx(expected)


def test_large_sides_do_not_make_the_start_long() -> None:
    drawn: list[int] = []
    draw = costs_module._draw_photo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs_module, "_draw_photo", lambda side: drawn.append(side) or draw(side))
        started = time.process_time()
        measure_costs(make_card(refine_side=4000))
    assert max(drawn) <= 320
    assert time.process_time() - started < 5


def test_costs_are_those_of_the_device_that_solves_crfs(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: set[str] = set()

    def find_spying_engine(name: CrfEngineName, device: str) -> CrfEngine:
        devices.add(device)
        return find_engine(name)

    monkeypatch.setattr("weakseg.refine.refine.find_engine", find_spying_engine)
    measure_costs(make_card(refine_side=96), "cuda:0")
    assert devices == {"cuda:0"}


def test_what_is_measured_on_this_machine_is_plausible() -> None:
    card = make_card(refine_side=96)
    started = time.perf_counter()
    costs = measure_costs(card)
    assert time.perf_counter() - started < 5
    for task in ({}, {"box": "0,0,9,9"}):
        settings = card.ranking(parse_options({"refine": "auto", **task}))
        small, large = ([costs.estimate_ms(each, Work(hw, 1)) for each in settings] for hw in ((60, 90), (2000, 3000)))
        assert all(0 < little < much for little, much in zip(small, large, strict=True))
        assert small[0] > small[1], "a CRF and GrabCut take longer than the same CRF"
