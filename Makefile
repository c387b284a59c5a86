# Two commands matter: `make demo` and `make test`. Both bring what is missing on a fresh Debian or Ubuntu.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export VENV ?= .venv
# Where an ordinary user's shell does not look, and mke2fs, ip and nft are.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
PYTHON_IN := $(VENV)/bin/python
IMAGE := /var/lib/vmcluster/images/base.qcow2
# The tests' own image follows the recipe; the one of clusters stays as it is while machines may stand on it.
TEST_IMAGE_DIR := $(or $(VMCLUSTER_TEST_IMAGE_DIR),/var/lib/vmcluster/test-images)
TEST_IMAGE := $(TEST_IMAGE_DIR)/base.qcow2
TOPOLOGY := specs/topologies/example-3node.yaml
CLUSTER := example-3node
PYTEST_ARGS ?=
# Paths below tests, for a part of the suite.
TESTS ?=
HOSTLESS_TESTS := $(if $(TESTS),$(filter-out tests/integration%,$(TESTS)),tests --ignore=tests/integration)
LAB_TESTS := $(if $(TESTS),$(filter tests/integration%,$(TESTS)),tests/integration)
LAB = $(PYTHON_IN) -m tests.lab --image-dir $(TEST_IMAGE_DIR) --
# A test waits as well, for time to pass and for processes that start.
WORKERS ?= $(shell echo $$(($$(nproc) + 2)))
# A lab spends much of its time waiting, for machines that boot and for things that must not happen.
LABS ?= 3
# Let pytest keep compiled test modules, which each worker would otherwise compile again.
KEEPING_BYTE_CODE := env -u PYTHONDONTWRITEBYTECODE
HOSTLESS = $(KEEPING_BYTE_CODE) $(PYTHON_IN) -m pytest $(HOSTLESS_TESTS) -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(SLOWEST) $(PYTEST_ARGS)
SLOWEST := --durations=10 --durations-min=1
IN_LABS = $(PYTHON_IN) -m pytest $(LAB_TESTS) --dist loadscope --no-loadscope-reorder $(SLOWEST) $(PYTEST_ARGS)
IN_A_LAB = popen//python=$(LAB) $(PYTHON_IN)
# What can be said to `make test`, and passed on to one on another release.
FOR_TEST = $(foreach name,TESTS PYTEST_ARGS WORKERS LABS,$(name)='$(subst ','\'',$($(name)))')
# What was run twice, for `python -m tests.tries`.
TRIES := build/tries
FOR ?= 600
# Each of ten fuzzers makes as many, and some that make fewer.
HOSTILE_ROUNDS ?= 12000

# Byte code that root writes into somebody's checkout could not be removed by them.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo env PYTHONDONTWRITEBYTECODE=1)
VMCLUSTER := $(AS_ROOT) $(VENV)/bin/vmcluster
TYPED := $(if $(AS_ROOT),sudo )$(VENV)/bin/vmcluster
SAY := printf '\033[1m==> %s\033[0m\n'

# Only where there is none: the disks of clusters stand on an image by its path, so one that is there stays as it is.
define BUILD_IMAGE
if [ ! -e $(1) ]; then $(SAY) "vmcluster image build $(1)"; $(VMCLUSTER) image build $(1); fi
endef
define BUILD_TEST_IMAGE
$(if $(VMCLUSTER_TEST_IMAGE_DIR),$(call BUILD_IMAGE,$(TEST_IMAGE)),$(SAY) "vmcluster image build $(TEST_IMAGE)"; $(VMCLUSTER) image build $(TEST_IMAGE))
endef

# What keeps the house in order and needs no host: seconds, where `make test` takes minutes.
HOUSE_TESTS := $(addprefix tests/unit/,test_architecture.py test_names.py test_manual.py test_contributing.py)

.PHONY: help setup host image demo demo-hosts test other-release lowest coverage lint type arch words house generated check bench soak soak-hosts scale hostile conformance docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: host image ## Boot three machines that you can log in to; run it again to check them
	@$(SAY) "applying $(TOPOLOGY)"
	@$(VMCLUSTER) apply $(TOPOLOGY) --timeout 300 \
	  || { $(SAY) "the demo did not come up: see above; \`make demo\` goes on where it stopped"; exit 1; }
	@$(SAY) "vmcluster status $(CLUSTER)"
	@$(VMCLUSTER) status $(CLUSTER)
	@$(SAY) "vmcluster exec $(CLUSTER) --all -- uname -r"
	@$(VMCLUSTER) exec $(CLUSTER) --all -- uname -r
	@$(SAY) "up. Try:"
	@echo "  $(TYPED) ssh $(CLUSTER) worker-0"
	@echo "  $(TYPED) crash $(CLUSTER) worker-1"
	@echo "  $(TYPED) plan $(TOPOLOGY)    # after an edit of the file"
	@echo "and to remove all of it:"
	@echo "  $(TYPED) destroy $(CLUSTER) --remove-overlays"

demo-hosts: ## Show one cluster over three hosts and an etcd, all in namespaces that are removed afterwards
	@.ci/setup tests
	@$(BUILD_TEST_IMAGE)
	@$(PYTHON_IN) -m tests.lab --hosts 3 --image-dir $(TEST_IMAGE_DIR) -- $(PYTHON_IN) -m tests.lab.demo_hosts

test: ## Run all tests (TESTS=paths: only these) in a private libvirt that is removed afterwards
	@.ci/setup tests
	@$(BUILD_TEST_IMAGE)
ifneq ($(HOSTLESS_TESTS),)
	@$(SAY) "unit tests"
	@$(HOSTLESS) -m "not processes" || [ $$? = 5 ]
	@$(SAY) "tests of whole processes, which need no host"
	@$(HOSTLESS) -m processes || [ $$? = 5 ]
endif
ifneq ($(LAB_TESTS),)
	@$(SAY) "what kernel modules for the test machines are built with"
	@$(AS_ROOT) $(PYTHON_IN) -m tests.guest_kernel $(TEST_IMAGE_DIR)
	@$(SAY) "tests with a real libvirt, in $(LABS) labs side by side"
	@rm -rf $(TRIES)
	@$(IN_LABS) --tx "$(LABS)*$(IN_A_LAB)" --junitxml $(TRIES)/first.xml \
	  || { [ $$? = 1 ]; $(SAY) "what failed beside others: once more, alone"; \
	       code=0; $(IN_LABS) --tx "1*$(IN_A_LAB)" --junitxml $(TRIES)/alone.xml \
	         --last-failed --last-failed-no-failures none || code=$$?; \
	       $(SAY) "tests that were run twice"; \
	       $(PYTHON_IN) -m tests.tries $(TRIES) || code=1; exit $$code; }
endif

other-release: ## Run the tests that depend on the host's release on the other Debian release (LONG=1: all tests)
	@.ci/setup tests
	@$(BUILD_TEST_IMAGE)
	@$(AS_ROOT) $(PYTHON_IN) -m tests.guest_kernel $(TEST_IMAGE_DIR)
	@$(AS_ROOT) $(PYTHON_IN) -m tests.other_release --image-dir $(TEST_IMAGE_DIR) $(if $(LONG),--long -- $(FOR_TEST))

# What logs in, speaks MCP and prints: where other versions of libraries show.
lowest: setup ## Run the tests with the lowest library versions that pyproject.toml allows
	@rm -rf build/lowest && mkdir -p build
	@$(SAY) "installing the lowest versions allowed"
	@$(PYTHON_IN) -m venv build/lowest
	@$(PYTHON_IN) -m tests.lowest | build/lowest/bin/python -m pip install -q --disable-pip-version-check -r /dev/stdin
	@build/lowest/bin/python -m pytest tests/unit/guest tests/unit/frontends tests/unit/store tests/unit/source \
	  -n $(WORKERS) --dist loadfile -p no:cacheprovider

# A tracer doubles what tests cost, so `make test` has none; what takes too long under it is no failure of the code.
# Not the tests of whole processes: the tracer sees only its own process.
coverage: setup ## Measure which lines the unit tests run: the total, and the ten modules with the least
	@rm -rf build/coverage && mkdir -p build/coverage
	@$(SAY) "unit tests under coverage, with few examples each"
	@HYPOTHESIS_PROFILE=brief $(PYTHON_IN) -m coverage run -m pytest $(or $(TESTS),tests/unit) -m "not processes" -q -n $(WORKERS) \
	  --dist loadfile -p no:cacheprovider -o timeout=600 $(PYTEST_ARGS) >build/coverage/tests.log 2>&1 \
	  || { tail -n 1 build/coverage/tests.log; echo "whether that is a failure, \`make test\` says"; }
	@{ $(PYTHON_IN) -m coverage combine -q && $(PYTHON_IN) -m coverage json -q -o build/coverage/coverage.json \
	  && $(PYTHON_IN) -m tests.least_covered build/coverage/coverage.json; } || echo "coverage could not be measured: see above"

check: lint type arch words generated house ## Run all checks of CI except the tests: lint, types, layers, words, manual

lint: setup ## Check style and formatting, including shell scripts
	@$(SAY) "ruff"
	@$(PYTHON_IN) -m ruff check .
	@$(PYTHON_IN) -m ruff format --check .
	@$(SAY) "shellcheck"
	@$(VENV)/bin/shellcheck $$(find .ci reconciler -type f -exec awk 'FNR == 1 && /^#!.*sh$$/ { print FILENAME }' {} +)

type: setup ## Check types
	@$(SAY) "mypy"
	@$(PYTHON_IN) -m mypy

arch: setup ## Check that imports keep to the layers
	@$(SAY) "import-linter"
	@$(VENV)/bin/lint-imports

words: setup ## Check that no text has a banned word
	@$(SAY) "words"
	@$(PYTHON_IN) -m tests.words

house: setup ## Check purity, neighbours, lengths; the manual's links, tables and commands
	@$(SAY) "house and manual"
	@$(PYTHON_IN) -m pytest -q -n 0 $(HOUSE_TESTS)

generated: setup
	@$(SAY) "generated files"
	@$(PYTHON_IN) -m reconciler.desired.schemas --check
	@$(PYTHON_IN) -m reconciler.frontends.output_schemas --check
	@$(PYTHON_IN) -m reconciler.frontends.mcp.tool_list --check
	@$(PYTHON_IN) -m tests.manual --check

docs: setup ## Write the generated files: schemas and tables of the manual
	@$(PYTHON_IN) -m reconciler.desired.schemas
	@$(PYTHON_IN) -m reconciler.frontends.output_schemas
	@$(PYTHON_IN) -m reconciler.frontends.mcp.tool_list
	@$(PYTHON_IN) -m tests.manual

bench: ## Run the benchmarks and compare with the reference figures; writes bench.json
	@.ci/setup tests
	@$(BUILD_TEST_IMAGE)
	@$(LAB) $(PYTHON_IN) -m tests.bench

soak: setup ## Run ten minutes of random operations and damage (FOR=seconds, SEED=number to repeat a run)
	@$(PYTHON_IN) -m tests.lab -- $(PYTHON_IN) -m tests.soak --seconds $(FOR) $(if $(SEED),--seed $(SEED))

soak-hosts: setup ## Run ten minutes of writes, kills and losses over three simulated hosts and etcd, then ten over real ones (FOR, SEED)
	@$(PYTHON_IN) -m tests.simulation.storms --soak $(FOR) --seeds 1 --from $(or $(SEED),$$(date +%s))
	@$(PYTHON_IN) -m tests.lab -- $(PYTHON_IN) -m tests.integration.hosts.failures --seconds $(FOR) $(if $(SEED),--seed $(SEED))

scale: setup ## Measure an etcd with 10, 30 and 100 simulated hosts and up to 1,000 clusters
	@$(PYTHON_IN) -m tests.bench.fleet

hostile: setup ## Run the fuzzers for guests, clients and disks, over 100,000 inputs (HOSTILE_ROUNDS for each fuzzer, HOSTILE_SEED)
	@HOSTILE_ROUNDS=$(HOSTILE_ROUNDS) HOSTILE_AT_LEAST=$(if $(PYTEST_ARGS),0,$$((9 * $(HOSTILE_ROUNDS)))) \
	  $(PYTHON_IN) -m pytest tests/hostile -n $(WORKERS) --dist worksteal -o timeout=7200 -o faulthandler_timeout=7200 $(SLOWEST) $(PYTEST_ARGS)

conformance: setup ## Run the public conformance suite for MCP servers, which npm brings, against ours over HTTP
	@$(PYTHON_IN) -m tests.conformance

host: setup
	@$(SAY) "vmcluster doctor --fix"
	@$(VMCLUSTER) doctor --fix || { $(SAY) "this host cannot run machines yet: see the remedies above"; exit 1; }

setup: ## Install missing packages, and pinned Python packages into .venv
	@.ci/setup

image: setup ## Build the guest image if there is none
	@$(call BUILD_IMAGE,$(IMAGE))

clean: ## Remove files that builds, tests and checks leave in the checkout
	@rm -rf build dist *.egg-info bench.json .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find reconciler tests -name __pycache__ -type d -prune -exec rm -rf {} +
