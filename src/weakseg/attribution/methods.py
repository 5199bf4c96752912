"""Every method by its name: its settings, and the graph that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weakseg.attribution.cam import CamGraph, CamSettings
from weakseg.attribution.dcsm import DcsmGraph
from weakseg.attribution.fusion import FusionGraph
from weakseg.attribution.gradcam import GradCamGraph
from weakseg.attribution.gradient import GradientGraph
from weakseg.attribution.graph import GraphSettings, LabelGraph
from weakseg.attribution.guided import GuidedGraph
from weakseg.attribution.joint import JointGraph, JointSettings
from weakseg.attribution.layercam import LayerCamGraph
from weakseg.attribution.saliency import SaliencyGraph
from weakseg.card import Method
from weakseg.labels import Vocabulary
from weakseg.models.class_map import find_class_map
from weakseg.models.classifier import Classifier

_GRADIENTS: Mapping[Method, type[GradientGraph]] = {
    graph.settings_type.method: graph
    for graph in (SaliencyGraph, GuidedGraph, DcsmGraph, GradCamGraph, LayerCamGraph, FusionGraph)
}
SETTINGS: Mapping[Method, type[GraphSettings]] = {
    CamSettings.method: CamSettings,
    **{method: graph.settings_type for method, graph in _GRADIENTS.items()},
    JointSettings.method: JointSettings,
}


def build_graph(
    classifier: Classifier, vocabulary: Vocabulary, settings: GraphSettings, *, multi_label: bool
) -> LabelGraph[Any]:
    """The eager graph of a classifier, as it is exported.

    Raises:
        UnsupportedNetworkError: the network has no head for class activation maps, no class map of its own, or an
            operator without gradient: whichever the method needs.
        ModelError: classes, groups or settings do not fit the network.
    """
    common: dict[str, Any] = {
        "mean": classifier.normalisation.mean,
        "std": classifier.normalisation.std,
        "settings": settings,
        "multi_label": multi_label,
    }
    if settings.method == "cam":
        return CamGraph(classifier.split, vocabulary, **common)
    if settings.method == "joint":
        return JointGraph(find_class_map(classifier.model, classifier.network), vocabulary, **common)
    return _GRADIENTS[settings.method](classifier.model, classifier.network, vocabulary, **common)
