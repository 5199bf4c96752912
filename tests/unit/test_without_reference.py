"""Where pydensecrf is not installed, all but that engine works."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, sys
sys.modules["pydensecrf"] = sys.modules["pydensecrf.densecrf"] = None  # importing them fails
import io
import numpy as np
from PIL import Image
from tests.helpers.fakes import FakeRuntime, make_card
from weakseg.pipeline import Pipeline
from weakseg.types import RawRequest

card = make_card(photo_task={"ranking": [{"refine": "crf", "crf_engine": "pydensecrf"}, {"refine": "guided"}]})
pipeline = Pipeline(card, FakeRuntime(card, [0.2, 0.3, 0.1, 0.05, 0.05, 0.3, 0.5, 0.1]))
pipeline.warm_up()
picture = io.BytesIO()
Image.fromarray(np.tile(np.uint8([[255, 0, 0], [0, 0, 255]]), (30, 20, 1))).save(picture, "PNG")
sent = [{"refine": "crf"}, {"refine": "crf", "crf_engine": "exact"}, {"budget_ms": 1000}, {"crf_engine": "pydensecrf"}]
answers = pipeline.answer([RawRequest(picture.getvalue(), options) for options in sent])
assert [answer.status for answer in answers] == [200, 200, 200, 400], answers
assert json.loads(answers[2].headers["X-Weakseg-Options"])["refine"] == "guided"
print(json.loads(answers[3].body)["error"]["field"])
"""


def test_it_is_missed_by_none_but_those_who_ask_for_it() -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "crf_engine\n"
