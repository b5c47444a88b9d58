# make demo   register the fundus sample in napari (without a display: write demo.png)
# make test   lint and test, without what is marked slow
# make test-gpu   what needs an NVIDIA GPU, docs/gpu.md; add the date and the device there
# On a fresh machine each of them first makes .venv and installs everything there.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Tests open real windows; where there is no display they open on a virtual one.
ifeq ($(shell uname -s)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
ON_DISPLAY := xvfb-run -a -s "-screen 0 1600x1000x24"
endif

.PHONY: demo test test-all test-gpu fuzz lint lowest check-wheel structure bench docs site pictures constraints clean

demo: $(READY)
	$(BIN)/napari-voxreg demo

# Two files at a time, a core for each; then what must answer in time, on its own.
# The smoke tests go through what the others test in detail; test-all and lowest run them.
TESTS = OMP_NUM_THREADS=1 $(ON_DISPLAY) $(BIN)/python -m pytest -n 2 --dist loadfile --durations 60
ALONE = $(ON_DISPLAY) $(BIN)/python -m pytest tests/gui

test: lint
	$(TESTS) --ignore tests/smoke -m "not slow and not alone"; rest=$$?; $(ALONE) -m "alone and not slow" && exit $$rest

# With the slow ones, and how much of the package outside gui/ was run.
test-all: lint
	$(TESTS) -m "not alone" --cov --cov-report= --cov-fail-under=0; rest=$$?; \
		$(ALONE) -m alone --cov --cov-append --cov-report=term && exit $$rest

# Ten times as many damaged files as `make test` tries.
fuzz: $(READY)
	VOXREG_FUZZ=3000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz

test-gpu: $(READY)
	$(BIN)/python -m pytest -s tests/gpu/test_gpu.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/validate-pyproject pyproject.toml

# The smoke tests with the lowest versions that pyproject.toml allows, in an environment of their own.
lowest: $(READY)
	$(BIN)/python scripts/lowest.py

# Builds the wheel, installs it beside each Qt binding and opens the viewer; screenshots in build/wheel.
check-wheel: $(READY)
	$(BIN)/python scripts/check_wheel.py

# How the code is built: folders, circles, lengths, signatures. OTHER=../main puts another checkout beside it.
structure: $(READY)
	$(BIN)/python scripts/structure.py $(OTHER) .

# Everything in benchmarks, to docs/benchmarks.md; hours. BENCH="--quick" or BENCH="--only real/fundus_*" does a part.
# Real pairs are looked for in the folder VOXREG_PAIRS alone.
bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group bench
	$(BIN)/python benchmarks $(BENCH)

docs: $(READY)
	$(BIN)/napari-voxreg methods --markdown > methods.tmp
	mv methods.tmp docs/methods.md
	$(BIN)/python scripts/api.py > api.tmp
	mv api.tmp docs/api.md

# The documentation as a site, in build/site. Then: .venv/bin/mkdocs serve
site: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group docs
	$(BIN)/mkdocs build --strict

# Draws the pictures of README.md and docs/ in the real viewer. PICTURES="register" draws one.
pictures: $(READY)
	$(ON_DISPLAY) $(BIN)/python scripts/pictures $(PICTURES)

constraints: $(READY)
	$(BIN)/python scripts/constraints.py > constraints.tmp
	mv constraints.tmp constraints.txt

clean:
	rm -rf .venv

$(READY): pyproject.toml constraints.txt scripts/system-libraries.sh
	@sh scripts/system-libraries.sh $(PYTHON)
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(None if sys.version_info >= (3, 11) else \
		f"napari-voxreg needs Python 3.11 or newer and $(PYTHON) is {v}; name another one: make PYTHON=python3.12")'
	@echo "Setting up .venv; the first time this takes some minutes."
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	# Groups of dependencies are known to pip from 25.1 on.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all]" --group test --group lint
	@touch $@
