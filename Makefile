# Nine verbs: checkpoint, demo, test, slow-tests, transformers-suite, quality, style, docs, mutants. Everything runs
# inside .venv; paths may hold spaces.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
EXE := .exe
else
BIN := $(VENV)/bin
endif
# One thread pool per process: the tests run two at a time.
TEST_JOBS ?= 2

.PHONY: checkpoint demo test slow-tests transformers-suite quality style docs mutants

demo: $(VENV)/.installed
	@$(BIN)/python examples/demo.py

test: $(VENV)/.installed-dev
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile -m "not slow" --ignore tests/transformers_suite

# Code blocks of the documentation, exports, commands in processes of their own: two tests of a hundred.
slow-tests: $(VENV)/.installed-dev
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile -m slow --ignore tests/transformers_suite

# transformers' own test mixins on our models, configurations and processors; their source comes from PyPI, once.
transformers-suite: $(VENV)/.installed-dev
	@$(BIN)/python tests/transformers_suite/fetch.py
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) -q tests/transformers_suite

quality: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python tests/lint_models.py

docs: $(VENV)/.installed-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --site-dir site

# Not part of CI. `make mutants ROOMS=evaluation_fdp SAMPLE=100 SEED=1`; what it does: CONTRIBUTING.md.
SAMPLE ?= 100
SEED ?= 0
mutants: $(VENV)/.installed-dev
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m tools.mutants --sample $(SAMPLE) --seed $(SEED) --jobs $(TEST_JOBS) $(if $(ROOMS),--rooms $(ROOMS))

# checkpoints/fdp-tiny from seeds alone: hours, interruptible. FACES is the folder of an ICT-FaceKit clone; without it
# the command says what it can do instead.
checkpoint: $(VENV)/.installed-dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m tools.make_checkpoint $(if $(FACES),--faces "$(FACES)") $(OPTIONS)

style: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# The stamps make a second run start at once; a changed pyproject.toml installs again.
$(BIN)/python$(EXE):
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python$(EXE)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python$(EXE)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@ $(VENV)/.installed
