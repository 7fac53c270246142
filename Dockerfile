# The image in which the platform runs ingestion and scoring: third-party packages and nothing else.
# The library travels inside the two program directories, so image and library can not drift apart.
#
#   docker build -t higgsml/uncertainty-challenge:0.1 .
#   docker build --build-arg BASE_IMAGE=<image with Python 3.11 or later and pip> -t <name:tag> .
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

# Exact versions: a submission must score the same in a year. scipy belongs to scikit-learn and decides numbers too.
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        click==8.5.1 \
        iminuit==2.33.0 \
        jinja2==3.1.6 \
        matplotlib==3.11.2 \
        mplhep==1.3.3 \
        numpy==2.4.6 \
        pandas==3.1.1 \
        pyarrow==26.0.1 \
        pyyaml==6.0.3 \
        rich==15.0.0 \
        scikit-learn==1.9.1 \
        scipy==1.17.1 \
    && python3 -c 'import pathlib, shutil, pandas; shutil.rmtree(pathlib.Path(pandas.__file__).with_name("tests"), True)'

# Any user id works, one without a home directory too. No USER: the platform's output directory belongs to root.
# No ENTRYPOINT: the platform passes the whole command.
ENV HOME=/tmp \
    MPLBACKEND=Agg \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app/program
