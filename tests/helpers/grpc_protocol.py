"""TorchServe's gRPC protocol, compiled from the .proto files that its Java archive brings."""

from __future__ import annotations

import importlib
import sys
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import grpc_tools
from grpc_tools import protoc

_PROTOS = ("proto/inference.proto", "proto/management.proto")


@dataclass(frozen=True)
class Protocol:
    """Generated modules: messages, and stubs (``..._calls``)."""

    inference: ModuleType
    inference_calls: ModuleType
    management: ModuleType
    management_calls: ModuleType


def compile_protocol(folder: Path) -> Protocol:
    """Into ``folder``, which stays in ``sys.path``: the modules import each other by name."""
    sources = folder / "sources"
    with zipfile.ZipFile(_java_archive()) as archive:
        for name in (*_PROTOS, "google/rpc/status.proto"):
            archive.extract(name, sources)
    generated = folder / "generated"
    generated.mkdir()
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    arguments = [f"-I{sources}", f"-I{well_known}", f"--python_out={generated}", f"--grpc_python_out={generated}"]
    status = protoc.main(["protoc", *arguments, *_PROTOS])
    assert status == 0, f"protoc ended with {status}"
    sys.path.append(str(generated))
    names = ("inference_pb2", "inference_pb2_grpc", "management_pb2", "management_pb2_grpc")
    return Protocol(*(importlib.import_module(f"proto.{name}") for name in names))


def _java_archive() -> Path:
    spec = find_spec("ts")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "frontend" / "model-server.jar"
