# `make help` lists the targets. Everything lands in .venv and .run; `make clean` removes both.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PORT ?= 8080
DIR ?= .run
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
UV := $(BIN)/uv
QUICK := -m 'not slow and not data and not drill' --ignore tests/docs --ignore tests/index/vespa/peer
SUPPLY := $(VENV)/supply/bin
LOCKS := cpu gpu dev bench docs browser supply
# Images of containers often set it, and it is not for here: every process would compile torch and all else once more.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(UV) pip install --python $(BIN)/python --quiet --require-hashes

.PHONY: newcomer docs browser sbom audit help run dev test drill test-vespa test-lowest test-python run-vespa check format lock bundle proof chaos docker clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## demo shop, embedded index and service on PORT (8080); sets up all it needs
	@$(BIN)/mrse demo --dir $(DIR) --port $(PORT)

dev: $(VENV)/.dev ## the environment for training, tests and checks (torch: 15 s to minutes)

test: $(VENV)/.dev ## all tests; sets up all they need, torch included
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

drill: $(VENV)/.dev ## releases over a running service, trained, fed to Vespa, killed and rolled back; 5 minutes
	$(BIN)/python -m pytest -m drill tests/cli/release $(ARGS)

test-vespa: $(VENV)/.dev ## packages, queries and feed judged by Vespa's own code (Java 17, Maven)
	$(BIN)/python -m pytest tests/index/vespa tests/index/test_port.py $(ARGS)

test-lowest: $(UV) ## the quick tests with the lowest versions that pyproject.toml allows
	$(UV) venv --quiet --clear --python $(BIN)/python .run/lowest
	$(UV) pip install --quiet --python .run/lowest/bin/python --resolution lowest-direct \
	  --editable '.[cpu,train,pictures,tracing,dev]'
	.run/lowest/bin/python -m pytest $(QUICK) $(ARGS)

test-python: $(UV) ## the quick tests under another Python: make test-python VERSION=3.13
	$(UV) venv --quiet --clear --python $(VERSION) .run/python-$(VERSION)
	$(UV) pip install --quiet --python .run/python-$(VERSION)/bin/python --require-hashes -r requirements/dev.txt
	$(UV) pip install --quiet --python .run/python-$(VERSION)/bin/python --no-deps --editable .
	.run/python-$(VERSION)/bin/python -m pytest $(QUICK) $(ARGS)

run-vespa: $(VENV)/.dev ## the demo shop through Vespa's container over small content nodes: a development aid
	@$(BIN)/python -m devtools.vespa_peer.demo --dir $(DIR) --port $(PORT) $(ARGS)

check: $(VENV)/.dev ## formatting, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bundle: $(VENV)/.dev ## train the committed demo bundle again, from the demo shop
	$(BIN)/mrse shop make .run/bundle/shop --items 4000 --seed 7 --force
	$(BIN)/mrse train .run/bundle/shop --out .run/bundle/train --preset demo --set threads=1
	$(BIN)/mrse export .run/bundle/train --out models/demo_bundle --name demo

proof: $(VENV)/.dev ## which parts of the model earn their place: 18 trainings, an hour on 2 cores; resumes
	test -f .run/proof/shop/shop.toml || $(BIN)/mrse shop make .run/proof/shop --items 20000 --seed 7
	$(BIN)/mrse ablate .run/proof/shop --out .run/proof/ablation --preset demo --seeds 3 --only proof \
	  --jobs 2

chaos: $(VENV)/.dev ## the service while Redis, Vespa and its own processes fail: who gets what, a table; 8 minutes
	$(BIN)/python -m benchmarks.chaos --data $(DIR) --json $(DIR)/chaos.json

lock: $(UV) ## compile requirements/*.txt from pyproject.toml
	set -e; c="$(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE)"; \
	sh -c "$$c pyproject.toml --extra cpu --extra train --extra pictures --extra tracing --extra dev -o requirements/dev.txt"; \
	sh -c "$$c pyproject.toml --extra cpu --extra tracing -c requirements/dev.txt -o requirements/cpu.txt"; \
	sh -c "$$c pyproject.toml --extra gpu --extra tracing -c requirements/dev.txt -o requirements/gpu.txt"; \
	sh -c "$$c --group bench -o requirements/bench.txt"; \
	sh -c "$$c --group docs -o requirements/docs.txt"; \
	sh -c "$$c --group browser -o requirements/browser.txt"; \
	sh -c "$$c --group supply -o requirements/supply.txt"

newcomer: $(VENV)/.dev ## README and tutorial followed from a fresh clone with an empty home; 5 minutes and a network
	$(BIN)/python -m devtools.newcomer $(ARGS)

docs: $(VENV)/.docs ## the documentation as a site in .run/site, every link of it checked; no network
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --quiet --strict
	@echo 'open .run/site/index.html'

browser: $(VENV)/.browser ## the playground walked in Chromium, by axe-core too, and its pictures for the docs (node, chromium)
	MRSE_PICTURES=docs/pictures $(VENV)/browser/bin/python -m pytest -c tests/browser/pytest.ini --rootdir . \
	  --confcutdir tests/browser tests/browser $(ARGS)

sbom: $(VENV)/.supply ## what the locks bring, as CycloneDX, in .run/sbom/
	mkdir -p .run/sbom
	set -e; for lock in $(LOCKS); do \
	  $(SUPPLY)/cyclonedx-py requirements requirements/$$lock.txt --pyproject pyproject.toml \
	    --output-reproducible --validate --output-file .run/sbom/$$lock.cdx.json; \
	done

audit: $(VENV)/.supply ## known vulnerabilities of what the locks bring; fails where it could not look
	$(BIN)/python -m devtools.audit --tool $(SUPPLY)/pip-audit $(LOCKS:%=requirements/%.txt)

docker: VERSION := $(shell awk -F'"' '/^version/ {print $$2}' pyproject.toml)
docker: ## build the service's image, tagged with the version (needs Docker)
	docker build -f docker/Dockerfile -t mrse-recall:$(VERSION) .

clean: ## remove the environment and everything the demo made
	rm -rf $(VENV) .run

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; choose one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# The runtime's lock is a subset of the developers' lock, so both can share one environment.
$(VENV)/.run: requirements/cpu.txt pyproject.toml | $(UV)
	$(INSTALL) -r requirements/cpu.txt
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(INSTALL) -r requirements/dev.txt
	@touch $@

# Environments of their own: neither what makes the site nor what looks at the locks is part of these.
$(VENV)/.docs: requirements/docs.txt | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/docs
	$(UV) pip install --python $(VENV)/docs/bin/python --quiet --require-hashes -r requirements/docs.txt
	@touch $@

# Playwright drives the machine's own Chromium (MRSE_CHROMIUM names another); it downloads none.
$(VENV)/.browser: requirements/browser.txt tests/browser/package-lock.json $(VENV)/.run
	$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/browser
	$(UV) pip install --python $(VENV)/browser/bin/python --quiet --require-hashes -r requirements/browser.txt
	npm ci --silent --prefix tests/browser
	@touch $@

$(VENV)/.supply: requirements/supply.txt $(VENV)/.dev
	$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/supply
	$(UV) pip install --python $(SUPPLY)/python --quiet --require-hashes -r requirements/supply.txt
	@touch $@
