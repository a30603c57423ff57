# Everything runs from `.venv`, which every target creates or updates first.
# Another Python: make PYTHON=python3.12 TARGET

PYTHON ?=
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PREPARED := $(VENV)/.prepared
CLASSES := $(VENV)/emulator.jsa
CALLED := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
FITS   := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
CODE   := botdel console consumers deletion gateway recovery tests
IMAGE  := bot-deletion-pipeline
FAST   := tests/unit tests/schema tests/model tests/simulation tests/architecture --ignore=tests/architecture/queries

# Evaluated only when a target needs them.
VERSION  = $(shell $(BIN)/python -c 'import deletion; print(deletion.__version__)')
REVISION = $(shell git rev-parse HEAD)
SBOM    := cyclonedx-bom==7.5.0
AUDIT   := pip-audit==2.10.1
LOCK    := pip-tools==7.6.2
HASHES   = --quiet --generate-hashes --strip-extras --constraint constraints.txt --output-file - \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# The stamp names the checkout and the Python it was made for: a moved or copied tree, another
# PYTHON and a Python that is gone all call for a new environment.
usable := $(shell $(BIN)/python -c '' 2>/dev/null && grep -sqxF '$(CURDIR)' $(STAMP) \
	&& grep -sqxF '$(or $(PYTHON),$(CURDIR))' $(STAMP) && echo yes)

MAKEFLAGS += --no-print-directory
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
.PHONY: help demo up test-unit watch test lint format check reference proofs proto pictures simulate model mutations test-faults test-upgrade alert-rules bench image image-test release release-check sbom audit constraints requirements clean FORCE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# At level INFO, gRPC logs each fork of a process in which it has threads.
demo up: export GRPC_VERBOSITY := $(or $(GRPC_VERBOSITY),ERROR)

demo: $(STAMP) ## Delete bots while consumers are killed, and check the result
	@$(BIN)/botdel demo

up: $(STAMP) ## Start everything on this machine, until Ctrl-C (VERBOSE=1 shows the broker's log)
	@$(BIN)/botdel local up $(if $(VERBOSE),--verbose)

test-unit: $(STAMP) ## Run the fast tests, which need no broker and no database
	@$(BIN)/python -m pytest $(FAST)

watch: $(STAMP) ## Run the fast tests again whenever a file changes, until Ctrl-C (TESTS=... for some)
	@$(BIN)/watchfiles --filter python '$(BIN)/python -m pytest -q $(or $(TESTS),$(FAST))' $(CODE)

# Pytest compiles a file of tests when it first collects it, and each worker collects all of them. An
# archive of its classes halves the work of starting the emulator, which also starts without; `as_it_was` starts it.
$(PREPARED): $(STAMP)
	@echo "preparing the tests, once; this takes about half a minute"
	@collect() { $(BIN)/python -m pytest -qq --collect-only "$$@" > /dev/null; }; \
	collect tests --ignore=tests/unit & others=$$!; collect tests/unit; \
	JAVA_TOOL_OPTIONS="$$JAVA_TOOL_OPTIONS -XX:ArchiveClassesAtExit='$(CURDIR)/$(CLASSES)'" \
	    $(BIN)/python -m pytest -qq tests/conformance/test_bus.py -k as_it_was > /dev/null; \
	wait $$others; touch $@

test: $(STAMP) $(PREPARED) ## Run every test, against a real broker and database (TESTS=... for some)
	@[ ! -s $(CLASSES) ] || export JAVA_TOOL_OPTIONS="$$JAVA_TOOL_OPTIONS \
	    -XX:SharedArchiveFile='$(CURDIR)/$(CLASSES)' -Xlog:cds*=off"; \
	$(BIN)/python -m pytest -n 8 --dist loadfile --no-loadscope-reorder \
	    $(if $(EACH_BROKER),--each-broker) $(TESTS)

lint: $(STAMP) ## Check style, types, import direction, generated code and pinned versions
	@failed=; \
	check() { what=$$1; shift; echo "· $$what"; "$$@" || failed="$$failed [$$what]"; }; \
	pinned() { test -r constraints.txt && found=$$($(BIN)/pip freeze --exclude-editable --exclude setuptools) \
	    && ! printf '%s\n' "$$found" | grep -vxF -f constraints.txt \
	    || { echo "not pinned, or not known: run 'make constraints'"; false; }; }; \
	check style $(BIN)/ruff check --quiet --output-format concise; \
	check format $(BIN)/ruff format --check --quiet; \
	check types $(BIN)/mypy --no-error-summary; \
	check imports $(BIN)/lint-imports --no-logo; \
	check 'container image' $(BIN)/hadolint deploy/Dockerfile; \
	check 'generated code' $(BIN)/python -m pytest -q --no-header tests/schema/test_generated_code.py; \
	check 'pinned versions' pinned; \
	[ -z "$$failed" ] || { echo "lint failed:$$failed"; exit 1; }

format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

check: $(STAMP) ## Run all that continuous integration runs: lint and test
	@.ci/run

reference: $(STAMP) ## Write what docs/reference/ takes from the code
	@$(BIN)/python -m tests.reference

proofs: $(STAMP) ## Write the tables of docs/PROOFS.md from the marks of the tests
	@$(BIN)/python -m tests.proofs

proto: $(STAMP) ## Generate the Python code of the event contract
	@$(BIN)/python -m tests.schema.generate

pictures: $(STAMP) ## Take the README's pictures of the console (needs Chromium)
	@$(BIN)/python -m tests.browser.screenshots

simulate: $(STAMP) ## Run the life cycle in virtual time under faults for a minute (SEED=... repeats one)
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED))

model: $(STAMP) ## Explore the life of a job exhaustively within wider bounds, for some minutes
	@$(BIN)/python -m tests.model

mutations: $(STAMP) ## Break each guard in turn, and check that a test notices (ONLY=... for some)
	@$(BIN)/python -m tests.mutations $(if $(ONLY),--only '$(ONLY)')

test-faults: $(STAMP) ## Run 500 deletions under faults for 10 minutes (SEED=... repeats a schedule)
	@$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED))

test-upgrade: $(STAMP) ## Upgrade from the last release in every order, and roll back
	@EACH_ORDER=1 $(BIN)/python -m pytest tests/upgrade

alert-rules: ## Print the alert rules as a PrometheusRule (RELEASE=... for its label `release`)
	@printf '%s\n' 'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' 'metadata:' \
	    '  name: bot-deletion' '  namespace: bot-deletion' $(if $(RELEASE),'  labels: {release: $(RELEASE)}') 'spec:'
	@sed 's/^/  /' deploy/prometheus/rules.yml

bench: $(STAMP) ## Measure throughput and latency on this machine
	@$(BIN)/python -m tests.bench

image: $(STAMP) ## Build the container image with Docker (BASE=... instead of the Dockerfile's, TAG=dev)
	@command -v docker >/dev/null || { echo "docker is not installed; it is needed to build the image." \
	    "'make image-test' builds and runs the same image without it, as root"; exit 1; } >&2
	@docker build --file deploy/Dockerfile --tag $(IMAGE):$(or $(TAG),$(VERSION)) $(if $(BASE),--build-arg BASE=$(BASE)) \
	    --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) .

image-test: $(STAMP) ## Build the image without Docker, with downloads as Docker would, and run it (needs root)
	@$(BIN)/python -m pytest tests/image --with-downloads

release-check: $(STAMP) ## Install the wheel into an empty environment, and run the demo there
	@$(BIN)/python -m tests.release

sbom: $(STAMP) ## Write the Python packages of the image to build/release/sbom.json, as CycloneDX
	@rm -rf build/sbom && $(BIN)/python -m venv build/sbom/tools
	@$(BIN)/python -m venv --without-pip build/sbom/image
	@$(BIN)/python -m tests.release.distributions build/sbom/dist > build/sbom/archives
	@build/sbom/tools/bin/pip install -qq $(SBOM)
	@build/sbom/tools/bin/pip --python build/sbom/image install -qq --require-hashes -r deploy/requirements.txt
	@build/sbom/tools/bin/pip --python build/sbom/image install -qq --no-deps build/sbom/dist/*.whl
	@sed 's/^dynamic = .*/version = "$(VERSION)"/' pyproject.toml > build/sbom/pyproject.toml
	@mkdir -p build/release && build/sbom/tools/bin/cyclonedx-py environment --output-reproducible \
	    --pyproject build/sbom/pyproject.toml --output-file build/release/sbom.json build/sbom/image
	@rm -rf build/sbom && echo build/release/sbom.json

audit: $(STAMP) ## Look for known vulnerabilities in what the image installs (needs an advisory database)
	@rm -rf build/audit && $(BIN)/python -m venv build/audit
	@build/audit/bin/pip install -qq $(AUDIT)
	@build/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	    -r deploy/requirements.txt -r deploy/requirements-build.txt || { code=$$?; \
	    echo "audit failed: a package has an advisory, or could not be looked up; 'not found' for" \
	        "packages that exist means that no advisory database was reached"; exit $$code; } >&2
	@rm -rf build/audit

release: $(STAMP) ## Check and build what is released, into build/release/ (BASE=NAME@sha256:... is required)
	@$(BIN)/python -m tests.release.ready $(BASE)
	@rm -rf build/release
	@$(MAKE) release-check image-test audit sbom
	@$(BIN)/python -m tests.release.distributions build/release
	@$(MAKE) image
	@echo "build/release/ and $(IMAGE):$(VERSION) are what is released; tag the commit: git tag v$(VERSION)"

constraints: ## Pin the newest versions that fit (with the oldest Python that is supported)
	@rm -rf build/pins && $(or $(PYTHON),python3.11) -m venv build/pins
	@build/pins/bin/pip install -qq --upgrade pip setuptools
	@build/pins/bin/pip install -qq --no-build-isolation -e '.[dev]'
	@build/pins/bin/pip freeze --all --exclude-editable > constraints.txt
	@rm -rf build/pins
	@$(MAKE) requirements

requirements: ## Write the files with hashes from which the image is built (`make constraints` does it too)
	@rm -rf build/pins && $(or $(PYTHON),python3.11) -m venv build/pins
	@build/pins/bin/pip install -qq $(LOCK)
	@printf '%s\n\n' '# What the image installs, with the hash of each file: `make requirements` writes it.' \
	    > deploy/requirements.txt
	@build/pins/bin/pip-compile $(HASHES) --extra objects --extra traces pyproject.toml >> deploy/requirements.txt
	@printf '%s\n\n' '# What builds the wheel for the image: `make requirements` writes it.' \
	    > deploy/requirements-build.txt
	@echo setuptools | build/pins/bin/pip-compile $(HASHES) --allow-unsafe - | grep '^[s ]' >> deploy/requirements-build.txt
	@rm -rf build/pins

clean: ## Remove everything that was generated here, the data of `make up` too
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m botdel.local.lock
	@rm -rf $(VENV) .local build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt $(if $(usable),,FORCE)
	@for python in $(CALLED); do \
	    "$$python" -c '$(FITS)' 2>/dev/null && break; python=; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "Python 3.11, 3.12 or 3.13 with its venv module is needed; looked for: $(CALLED)."; \
	    echo "Install one (Debian: apt-get install python3 python3-venv; Homebrew: brew install python@3.13),"; \
	    echo "or name the one you have: make PYTHON=/path/to/python3.12"; \
	    exit 1; \
	fi >&2; \
	echo "installing into $(VENV) ($$("$$python" --version)); this takes about a minute"; \
	rm -f $@; "$$python" -m venv --clear $(VENV)
	@$(BIN)/pip install -qq --no-compile -c constraints.txt pip setuptools  # pip first: older versions resolve three times as slowly
	@$(BIN)/pip install -qq --no-compile -c constraints.txt --no-build-isolation -e '.[dev]'  # most files are never imported
	@printf '%s\n' '$(CURDIR)' '$(PYTHON)' > $@

FORCE:
