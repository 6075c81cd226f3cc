# Every verb sets up what it needs: the environment is made once and again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
MANIFEST ?= manifests/v1.parquet
PHOTOS_MANIFEST ?= manifests/photos.parquet
JOBS ?= 2
SUBJECT := examples/subject.png

# Many small calls: one thread each is faster than all of them fighting for the cores. No telemetry from our verbs.
export OMP_NUM_THREADS ?= 1
export PREFECT_SERVER_ANALYTICS_ENABLED ?= false
export RAY_USAGE_STATS_ENABLED ?= 0
export DO_NOT_TRACK ?= 1

.PHONY: help env demo photos test test-slow lint docker-test format train-tiny bench paper paper-small

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

env: $(STAMP) ## make or refresh .venv with the pinned versions

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP) ## build examples/sources into manifests/v1.parquet, validate it, put a subject on a beach, say what to look at
	$(BIN)/spotdiff build examples/sources --poses examples/sources/poses.json --manifest $(MANIFEST)
	$(BIN)/spotdiff validate $(MANIFEST)
	$(BIN)/python -m spotdiff_model.generate --image $(SUBJECT) --prompt "S*, on a beach by day"
	@echo "Look at: $(dir $(MANIFEST))__report__/$(basename $(notdir $(MANIFEST)))/index.html"

photos: $(STAMP) ## build a dataset from your own photos: make photos PHOTOS=folder
	@test -n "$(PHOTOS)" || { echo 'Which photos? make photos PHOTOS=folder'; exit 2; }
	$(BIN)/spotdiff models fetch photos
	$(BIN)/spotdiff build "$(PHOTOS)" --profile photos --manifest $(PHOTOS_MANIFEST) $(ARGS)
	$(BIN)/spotdiff validate $(PHOTOS_MANIFEST)
	@echo "Look at: $(dir $(PHOTOS_MANIFEST))__report__/$(basename $(notdir $(PHOTOS_MANIFEST)))/index.html"

test: $(STAMP) ## run the tests, two at a time (JOBS=n); not those that take over half a minute each
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" $(ARGS)

test-slow: $(STAMP) ## run the tests that take over half a minute each
	$(BIN)/python -m pytest -n $(JOBS) --dist load -m slow $(ARGS)

lint: $(STAMP) ## ruff, mypy, import layers, dead code; Dockerfile, compose, shell and Kubernetes files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/hadolint docker/Dockerfile docker/standins/*.Dockerfile
	$(BIN)/shellcheck docker/test.sh docker/standins/*.sh docker/slurm/*.sbatch .ci/run
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(BIN)/python docker/kuberay/check.py docker/kuberay/rayjob.yaml
	$(BIN)/yamllint -s prefect.yaml docker

docker-test: ## build the image, bring the cluster up, kill each service in mid-build, compare (root; half an hour)
	bash docker/test.sh

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train-tiny: $(STAMP) ## train the embedded profile's models (hours; resumes); ARGS="--help" for more
	$(BIN)/python -m tinyworld.train $(ARGS)

bench: $(STAMP) ## measure a build against the bare pipelines and against a plain script
	$(BIN)/python benchmarks/build.py $(ARGS)

paper: $(STAMP) ## all tables and figures of the encoder and its baselines, from MANIFEST (hours; resumes)
	$(BIN)/python -m benchmarks.paper --manifest $(MANIFEST) $(ARGS)

paper-small: $(STAMP) ## the same at toy size, in minutes: shows that all parts run, proves nothing
	$(BIN)/python -m benchmarks.paper --manifest $(MANIFEST) --small --output_dir work/paper-small $(ARGS)
