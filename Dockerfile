# The images in which the platform runs ingestion and scoring: third-party packages and nothing else.
# The library travels inside the program directories, so image and library can not drift apart.
#
#   docker build --target small -t higgsml/uncertainty-challenge:0.1-small .
#   docker build --target frameworks -t higgsml/uncertainty-challenge:0.1 .
#
# "small" (0.7 GB) has what the library needs; "frameworks" (8.5 GB) adds torch, tensorflow, jax, xgboost, lightgbm,
# onnxruntime and numba for CPUs, and is the competition's (competition.yaml). Build arguments:
#
#   BASE_IMAGE    another image with Python 3.11 or later and pip
#   TORCH_INDEX   a package index with torch for CPUs only, as PyTorch offers one. The default wheel works on CPUs, too,
#                 but brings 4 GB of CUDA libraries.
#   ACCELERATOR   "gpu" takes the GPU wheels of the others as well. UNTESTED: nobody has built or run it yet.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE} AS small

# Exact versions, those of indirect dependencies too: a submission must score the same in a year.
RUN python3 -m pip install --no-cache-dir --no-deps --disable-pip-version-check --root-user-action=ignore \
        click==8.5.1 \
        cloudpickle==3.1.2 \
        contourpy==1.3.3 \
        cycler==0.12.1 \
        fonttools==4.68.0 \
        iminuit==2.33.0 \
        jinja2==3.1.6 \
        joblib==1.6.0 \
        kiwisolver==1.5.1 \
        markdown-it-py==4.3.0 \
        markupsafe==3.0.4 \
        matplotlib==3.11.2 \
        mdurl==0.1.2 \
        mplhep==1.3.3 \
        mplhep-data==0.1.0 \
        narwhals==2.29.0 \
        numpy==2.4.6 \
        packaging==26.3 \
        pandas==3.1.1 \
        pillow==13.0.0 \
        pyarrow==26.0.1 \
        pygments==2.21.0 \
        pyparsing==3.3.3 \
        python-dateutil==4.0.0 \
        pyyaml==6.0.3 \
        rich==15.0.0 \
        scikit-learn==1.9.1 \
        scipy==1.17.1 \
        threadpoolctl==3.8.0 \
        tzdata==2026.6 \
        uhi==1.2.1 \
    # What --no-deps has left out would show here. Test suites are a fifth of the image.
    && python3 -m pip check \
    && python3 -c 'import pathlib, shutil, numpy; [shutil.rmtree(path) for path in [*pathlib.Path(numpy.__file__).parents[1].rglob("tests")] if path.is_dir()]'

# Any user id works, one without a home directory too. No USER: the platform's output directory belongs to root.
# No ENTRYPOINT: the platform passes the whole command.
ENV HOME=/tmp \
    MPLBACKEND=Agg \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app/program

FROM small AS frameworks
ARG TORCH_INDEX=
ARG ACCELERATOR=cpu

RUN python3 -m pip install --no-cache-dir --no-deps --disable-pip-version-check --root-user-action=ignore \
        absl-py==2.5.1 \
        astunparse==1.6.3 \
        certifi==2026.10.19.post1 \
        charset-normalizer==3.5.3 \
        filelock==4.3.1 \
        flatbuffers==25.12.19 \
        fsspec==2026.9.0 \
        gast==0.7.0 \
        google-pasta==0.2.0 \
        grpcio==1.85.3 \
        h5py==3.14.0 \
        idna==3.20 \
        jax==0.10.2 \
        jaxlib==0.10.2 \
        keras==3.15.1 \
        libclang==18.1.1 \
        lightgbm==4.7.0 \
        llvmlite==0.50.0 \
        ml-dtypes==0.6.0 \
        mpmath==1.3.0 \
        namex==0.1.0 \
        networkx==3.6.1 \
        numba==0.68.1 \
        onnxruntime==1.32.0 \
        opt-einsum==3.4.0 \
        optree==0.20.0 \
        protobuf==7.36.2 \
        requests==2.34.2 \
        setuptools==84.2.1 \
        six==1.17.0 \
        sympy==1.14.0 \
        tensorflow-cpu==2.21.0 \
        termcolor==3.3.0 \
        typing-extensions==4.16.0 \
        urllib3==2.8.0 \
        wheel==0.48.0 \
        wrapt==2.5.2 \
        xgboost-cpu==3.2.0 \
    && if [ -n "${TORCH_INDEX}" ]; then \
        python3 -m pip install --no-cache-dir --no-deps --root-user-action=ignore --index-url "${TORCH_INDEX}" \
            torch==2.15.0; \
    else python3 -m pip install --no-cache-dir --no-deps --root-user-action=ignore \
            torch==2.15.0 \
            cuda-bindings==13.5.0 \
            cuda-pathfinder==1.9.1 \
            cuda-toolkit==13.2.2 \
            nvidia-cublas==13.4.1.3 \
            nvidia-cuda-cccl==13.3.5.0.6 \
            nvidia-cuda-cupti==13.2.86 \
            nvidia-cuda-nvrtc==13.2.86 \
            nvidia-cuda-runtime==13.2.86 \
            nvidia-cudnn-cu13==9.26.0.51 \
            nvidia-cufft==12.2.0.57 \
            nvidia-cufile==1.17.1.22 \
            nvidia-cusolver==12.2.0.11 \
            nvidia-cusparse==12.7.10.12 \
            nvidia-cusparselt-cu13==0.8.1 \
            nvidia-nccl-cu13==2.30.7 \
            nvidia-nvjitlink==13.5.37 \
            nvidia-nvshmem-cu13==3.7.2 \
            nvidia-nvtx==13.2.86 \
            triton==3.9.0; \
    fi \
    && if [ "${ACCELERATOR}" = gpu ]; then \
        python3 -m pip uninstall --yes tensorflow-cpu xgboost-cpu onnxruntime \
        && python3 -m pip install --no-cache-dir --root-user-action=ignore \
            "tensorflow[and-cuda]" xgboost onnxruntime-gpu "jax[cuda13]"; \
    fi \
    && python3 -m pip check
