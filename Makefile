# Every command of the project; each is a script in scripts/ that says what it does.
.DEFAULT_GOAL := help
.PHONY: help run build test lint bench soak fuzz openapi clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build what changed and start the server (ARGS="--listen …" goes to it)
	@scripts/run.sh $(ARGS)

build: ## Build the page and target/release/meet-ai
	@scripts/run.sh --build-only

test: ## Run every test; installs what the tests need when it may
	@scripts/test.sh

lint: ## Check format, lints, documentation, types and dependencies
	@scripts/lint.sh

bench: ## Measure, and print the table (ARGS="…" goes to the benchmarks)
	@scripts/bench.sh $(ARGS)

soak: ## Run the long variants of the tests, then MINUTES (default 5) of each random input
	@scripts/soak.sh

fuzz: ## Feed random input to the parsers: MINUTES of each target (default 5)
	@scripts/fuzz.sh $(ARGS)

openapi: ## Write openapi.json from the code, and the page's types from it
	@scripts/openapi.sh

clean: ## Remove everything that was built
	cargo clean
	rm -rf web/dist web/node_modules e2e/node_modules e2e/out
