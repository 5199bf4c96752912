"""TorchServe's gRPC, by grpcio: past the front, to the same workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from scripts.torchserve import PORTS
from tests.e2e.conftest import MODELS, Service
from tests.helpers.grpc_protocol import Protocol
from tests.helpers.http import post_form
from tests.helpers.photos import cat_photo


@pytest.fixture(scope="module")
def inference(service: Service, protocol: Protocol) -> Iterator[Any]:
    with _channel(service, "grpc_inference_port") as channel:
        yield protocol.inference_calls.InferenceAPIsServiceStub(channel)


@pytest.fixture(scope="module")
def management(service: Service, protocol: Protocol) -> Iterator[Any]:
    with _channel(service, "grpc_management_port") as channel:
        yield protocol.management_calls.ManagementAPIsServiceStub(channel)


def _channel(service: Service, setting: str) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{service.launcher.port + PORTS[setting]}")


def predict(inference: Any, protocol: Protocol, model: str = "tiny_cam", **fields: bytes) -> bytes:
    request = protocol.inference.PredictionsRequest(model_name=model, input=fields)
    prediction: bytes = inference.Predictions(request, timeout=120).prediction
    return prediction


def test_ping(inference: Any) -> None:
    assert json.loads(inference.Ping(Empty(), timeout=120).health) == {"status": "Healthy"}


def test_the_mask_is_that_of_http(service: Service, inference: Any, protocol: Protocol) -> None:
    photo, options = cat_photo(), {"classes": "cat,beagle", "refine": "none", "threshold": "0.4"}
    mask = predict(inference, protocol, image=photo, **{name: text.encode() for name, text in options.items()})
    assert mask.startswith(b"\x89PNG")
    assert mask == post_form(service.tiny, photo, **options).body


def test_a_photo_alone(service: Service, inference: Any, protocol: Protocol) -> None:
    assert predict(inference, protocol, data=cat_photo()) == post_form(service.tiny, cat_photo()).body


def test_documents(inference: Any, protocol: Protocol) -> None:
    document = json.loads(predict(inference, protocol, image=cat_photo(), format=b"json", classes=b"beagle"))
    assert [segment["label"] for segment in document["segments"]] == ["beagle"]


def test_an_error_of_a_worker_is_a_reply_like_any_other(inference: Any, protocol: Protocol) -> None:
    """TorchServe does not pass on the status that a handler gives: what says "error" is the document."""
    error = json.loads(predict(inference, protocol, image=cat_photo(), classes=b"beagel"))["error"]
    assert (error["code"], error["field"]) == ("class_unknown", "classes")
    error = json.loads(predict(inference, protocol, classes=b"beagle"))["error"]
    assert error["code"] == "image_missing"


def test_an_error_of_torchserve_is_a_status(inference: Any, protocol: Protocol) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predict(inference, protocol, "nosuch", image=cat_photo())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "Model not found: nosuch" in caught.value.details()


def test_models(management: Any, protocol: Protocol) -> None:
    request = protocol.management.ListModelsRequest(limit=100)
    listed = json.loads(management.ListModels(request, timeout=120).msg)["models"]
    assert {model["modelName"] for model in listed} >= set(MODELS.split(","))
    described = protocol.management.DescribeModelRequest(model_name="tiny_cam", customized=True)
    (model,) = json.loads(management.DescribeModel(described, timeout=120).msg)
    assert model["customizedMetadata"]["name"] == "tiny_cam"
