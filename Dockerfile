# The image in which the platform runs ingestion and scoring: third-party packages and nothing else.
# The library travels inside the program directories, so image and library can not drift apart.
#
#   docker build -t higgsml/uncertainty-challenge:0.1 .
#   docker build --build-arg BASE_IMAGE=<image with Python 3.11 or later and pip> -t <name:tag> .
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

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
