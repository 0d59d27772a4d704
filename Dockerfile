# The server with the shipped models; with the CUDA libraries of torch about 6 GB:   docker build -t telephonegan .
# Smaller, for CPUs only, with the address of PyTorch's CPU wheel index:  docker build --build-arg TORCH_INDEX=… .
# Run it, reachable from this machine only:            docker run --rm -p 127.0.0.1:8000:8000 telephonegan
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ARG TORCH_INDEX=
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/telephonegan
ENV PATH=/opt/telephonegan/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} 'torch>=2.4' 'torchvision>=0.19'
WORKDIR /source
COPY requirements.txt pyproject.toml README.md LICENSE ./
# Notebooks and figures are not served, so what draws them stays out.
RUN grep -vE '^(jupyter|ipython|ipywidgets|anywidget|traitlets|matplotlib|nltk)\b' requirements.txt > served.txt \
 && python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*p["optional-dependencies"]["serve"], sep="\n")' >> served.txt \
 && pip install -r served.txt
COPY telephonegan telephonegan
COPY weights weights
RUN pip install --no-deps .

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent telephonegan \
 && install -d -o telephonegan -g telephonegan -m 0700 /var/cache/telephonegan
COPY --from=build /opt/telephonegan /opt/telephonegan
ENV PATH=/opt/telephonegan/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TELEPHONEGAN_HOME=/var/cache/telephonegan/models \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
EXPOSE 8000
VOLUME /var/cache/telephonegan
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["telephonegan", "serve", "--host", "0.0.0.0", "--pictures", "/var/cache/telephonegan/pictures"]
CMD ["--allow-host", "localhost"]
