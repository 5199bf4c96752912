"""The paper's plain CAM at 224 px: the same work as the naive service's, so that only the way of serving differs."""

from __future__ import annotations

from pathlib import Path

from export.build import build_archive
from weakseg.archive import Archive, open_archive
from weakseg.card import ModelCard
from weakseg.models.classifier import load_classifier
from weakseg.voc import voc_groups


def build_plain_archive(folder: Path, like: ModelCard) -> Archive:
    """Export it into a folder.

    Args:
        like: The default model, whose GrabCut settings, runtime and threads it gets.
    Raises:
        WeightsUnavailableError: the ImageNet weights cannot be had.
    """
    names = ("photo_task", "box_task", "refine_side", "guided_side", "crf_side", "grabcut_side", "runtime", "threads")
    same = {name: getattr(like, name) for name in names}
    classifier = load_classifier("squeezenet1_1")
    built = build_archive(
        classifier, name="plain_cam_224", directory=folder, groups=voc_groups(), hw=(224, 224), card_fields=same
    )
    return open_archive(built.path)
