"""Scores of groups: what size_correction does, worked out by hand."""

import pytest
import torch

from tests.helpers.tiny_networks import RedGreenNet
from weakseg.attribution.cam import CamGraph, CamSettings
from weakseg.attribution.graph import score_labels
from weakseg.errors import ModelError
from weakseg.labels import Vocabulary
from weakseg.models.split import split_network

PROBS = [0.1, 0.1, 0.1, 0.1, 0.3, 0.3]  # four dogs, one cat, one lamp
MEMBERSHIP = torch.tensor([*torch.eye(6).tolist(), [1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0]]).bool()  # (L, C)


def group_scores(size_correction: float) -> list[float]:
    logits = torch.tensor([PROBS]).log()
    scores = score_labels(logits, MEMBERSHIP, multi_label=False, size_correction=size_correction)  # (1, L)
    assert scores[0, :6].tolist() == pytest.approx(PROBS), "classes keep their probabilities"
    return scores[0, 6:].tolist()


def test_without_correction_many_weak_members_win() -> None:
    assert group_scores(0.0) == pytest.approx([0.4, 0.3])


def test_full_correction_shares_by_mean_probability() -> None:
    # The groups have 0.7 together; means 0.1 and 0.3.
    assert group_scores(1.0) == pytest.approx([0.7 * 0.25, 0.7 * 0.75])


def test_half_correction_by_hand() -> None:
    # 0.4 / sqrt(4) = 0.2 and 0.3 / 1 = 0.3.
    assert group_scores(0.5) == pytest.approx([0.7 * 0.4, 0.7 * 0.6])


def test_scores_without_groups_and_with_certain_ones_are_finite() -> None:
    one_class_only = torch.tensor([[0.0, -1e4, -1e4, -1e4, -1e4, -1e4]])
    scores = score_labels(one_class_only, MEMBERSHIP, multi_label=False, size_correction=0.75)
    assert scores[0].tolist() == pytest.approx([1, 0, 0, 0, 0, 0, 1, 0])
    assert score_labels(one_class_only, MEMBERSHIP[:6], multi_label=False, size_correction=0.75).shape == (1, 6)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_size_correction_is_a_fraction(value: float) -> None:
    with pytest.raises(ModelError, match="size_correction"):
        CamSettings(size_correction=value)


def build(groups: dict[str, list[int]], size_correction: float) -> CamGraph:
    settings = CamSettings(size_correction=size_correction)
    vocabulary = Vocabulary(["cat", "dog", "wolf"], groups)
    mean_std = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return CamGraph(split_network(RedGreenNet(), "tiny"), vocabulary, settings=settings, **mean_std)


def test_groups_that_share_a_class_cannot_be_corrected_for_size() -> None:
    shared = {"pets": [0, 1], "canines": [1, 2]}
    with pytest.raises(ModelError, match=r"groups 'pets' and 'canines' share class 1 \('dog'\)"):
        build(shared, 0.5)
    build(shared, 0.0)
    build({"pets": [0, 0], "canines": [1, 2]}, 0.5)  # the same class twice in one group is no other group
