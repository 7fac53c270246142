# Two commands for a newcomer, on a machine with Python 3.11+ and make:
#   make demo    run the sample submission and look at its scores
#   make test    lint, types and tests
# and make examples runs the models of the README's table; make bench compares the speed with the
# reference implementation's (BENCH="--sizes 2" for less). Both, and make costs, leave their numbers in
# benchmarks/results, from which make tables writes them into all pages.
# PYTHON chooses the interpreter, INPUT and OUTPUT the demo's dataset and results. Data at official
# yields have a million events per pseudo-experiment, so another dataset than the shipped one gets
# two of them per set; raise PSEUDO_EXPERIMENTS for more.

PYTHON ?= python3
INPUT  ?= input_data
OUTPUT ?= outputs/demo
PSEUDO_EXPERIMENTS ?= $(if $(filter input_data,$(INPUT)),100,2)
BIN    := .venv/bin
IMAGE       ?= higgsml/uncertainty-challenge:0.1
BASE_IMAGE  ?= python:3.11-slim
# frameworks (8.5 GB), the competition's, or small (0.7 GB)
IMAGE_TARGET ?= frameworks
IMAGE_FLAGS ?=
REFERENCE := $(or $(HIGGSML_REFERENCE_PYTHON),.cache/reference/bin/python)

EXAMPLES  := sample_submission $(addprefix examples/,classifier_counting counting no_systematics gaming)
GAMING    := outputs/gaming

.PHONY: demo examples costs tables test test-versions frameworks lint format bench docs bundle image clean

demo: .venv/installed
	$(BIN)/higgsml run sample_submission --input $(INPUT) --output $(OUTPUT) --overwrite \
		--sets 10 --pseudo-experiments $(PSEUDO_EXPERIMENTS)

# All on the same pseudo-experiments, since the seed is the same; and what docs/explanation/score.md
# says of the one that games the score, at a hundred true values instead of ten.
examples: .venv/installed
	for submission in $(EXAMPLES); do \
		$(BIN)/higgsml run $$submission --output outputs/examples/$${submission##*/} --overwrite --seed 2024 || exit; \
	done
	$(BIN)/python benchmarks/examples.py --picture docs/intervals.png \
		$(foreach path,$(EXAMPLES),outputs/examples/$(notdir $(path)))
	mkdir -p $(GAMING)/submissions/gaming $(GAMING)/submissions/honest
	cp examples/gaming/model.py $(GAMING)/submissions/gaming
	sed 's/^GAMING = True/GAMING = False/' examples/gaming/model.py > $(GAMING)/submissions/honest/model.py
	for name in honest gaming; do \
		$(BIN)/higgsml run $(GAMING)/submissions/$$name --output $(GAMING)/$$name --overwrite --seed 2024 \
			--sets 100 --pseudo-experiments 10 || exit; \
	done
	$(BIN)/python benchmarks/examples.py --json benchmarks/results/gaming.json $(GAMING)/honest $(GAMING)/gaming

# What a submission costs an organizer, at mini and official yields; a few minutes.
costs: .venv/installed
	$(BIN)/python benchmarks/costs.py

# Every number of README, docs and benchmarks, from its result file to where it stands.
tables: .venv/installed
	$(BIN)/python benchmarks/tables.py

# The package is compiled once, not by each of the thousands of processes that tests start. Nothing
# runs beside the attacks, some of which meet time limits. Tests wait for processes a third of their
# time, so three of them keep two cores busy; the order of files is that of tests/conftest.py.
# Threads of numerical libraries that wait must not spin on cores that other tests need.
test: export OMP_WAIT_POLICY = passive
test: lint
	$(BIN)/python -m compileall -q src
	$(BIN)/python -m pytest tests/attacks
	$(BIN)/python -m pytest --ignore tests/attacks --numprocesses 3 \
		--dist loadfile --no-loadscope-reorder --durations 20

# A wheel in an empty environment with the lowest versions that pyproject.toml allows; NEWEST=1 with
# the newest ones. PYTHON chooses the interpreter.
QUICK := $(patsubst %,tests/test_%.py,installed kinematics systematics results visualization)

test-versions:
	rm -rf .cache/lowest .cache/wheel
	mkdir -p .cache
	$(PYTHON) tests/lowest_versions.py > .cache/lowest.txt
	$(PYTHON) -m venv .cache/lowest
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir .cache/wheel .
	.cache/lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		$(if $(NEWEST),,--constraint .cache/lowest.txt) .cache/wheel/*.whl pytest hypothesis vector
	HIGGSML_INSTALLED=wheel .cache/lowest/bin/python -m pytest -W ignore::DeprecationWarning $(QUICK)

# All frameworks (5 GB), in every setting; writes the table of docs/how_to/frameworks.md.
frameworks: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[frameworks]"
	HIGGSML_FRAMEWORKS=all $(BIN)/python -m pytest tests/test_frameworks.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The reference implementation has our import name, so it gets an environment of its own, with what
# the sample submission needs.
bench: .venv/installed $(if $(HIGGSML_REFERENCE_PYTHON),,.cache/reference/installed)
	$(BIN)/python benchmarks/run.py --reference $(REFERENCE) $(BENCH)

docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bundle: .venv/installed
	$(BIN)/higgsml bundle build

image:
	docker build $(IMAGE_FLAGS) --target $(IMAGE_TARGET) --build-arg BASE_IMAGE=$(BASE_IMAGE) -t $(IMAGE) - < Dockerfile

clean:
	rm -rf .venv outputs .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	@echo "Installing libraries into .venv (a minute or two, once) ..."
	$(BIN)/python .ci/install --no-compile --editable .
	touch $@

.cache/reference/installed:
	$(PYTHON) -m venv .cache/reference
	.cache/reference/bin/python -m pip install --quiet --disable-pip-version-check "HiggsML==0.1.5" iminuit threadpoolctl
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python .ci/install --editable ".[dev,docs,notebooks]"
	# Compiling Pythia takes an hour, so only where there are wheels.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[pythia]" \
		--only-binary pythia8mc,fastjet,awkward-cpp || \
		echo "no wheels of pythia8mc and fastjet: the tests of the Pythia engine will be skipped"
	touch $@
