# Entente. `make help` lists the targets; `make check` is what continuous integration runs.
#
# Everything runs on Go alone: the tools are pinned in modules of their own below tools/ and
# started by `go tool`, so that the product's go.mod does not carry their dependencies.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-builtin-rules --warn-undefined-variables

GO          ?= go
BUF         := $(GO) tool -modfile=tools/buf/go.mod buf
STATICCHECK := $(GO) tool -modfile=tools/lint/go.mod staticcheck

# The treaty text as it was at the last release. Peers upgrade on their own calendars, so nothing
# in it may be renamed, retyped or taken away.
BASELINE := proto/baseline.binpb

# Where our own Go stands. Generated Go and the tools' modules are not formatted or linted by us.
SOURCES := $(wildcard *.go pki federation node cmd bench)

FUZZ_TIME   ?= 2s
FUZZ_BUDGET ?= 420
TEST_TIMEOUT ?= 15m

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: check
# The order: what fails fastest first; the plain tests last, so that the run ends in their lines.
check: fmt-check vet lint proto-check generate-check tidy-check fuzz-smoke race test ## all that must hold before a change is taken

.PHONY: build
build: ## build the binary into bin/
	@$(GO) build -trimpath -o bin/ ./cmd/...

.PHONY: test
test: ## run every test once; needs nothing but Go
	@$(GO) test -timeout $(TEST_TIMEOUT) ./...

# The race detector slows a test five to ten times and finds something only where goroutines meet.
# So it runs over the packages whose code or tests start goroutines, share memory or serve gRPC;
# the pure ones (parsers, matching, policy, names) run once, in `test`. -short leaves out there
# only what adds volume, not another way through the code; `test` runs all of it.
.PHONY: race
race: ## run the tests of all packages with concurrency under the race detector
	@if [ "$$($(GO) env CGO_ENABLED)" != 1 ] || ! command -v "$$($(GO) env CC)" >/dev/null; then
		echo "race: the race detector needs a C compiler: install gcc (Debian: apt-get install gcc libc6-dev)" >&2
		exit 1
	fi
	packages=$$(grep -rlE --include='*.go' \
		'^[[:space:]]*go (func|[a-zA-Z])|\.Go\(|"sync(/atomic)?"|"golang.org/x/sync/|"google.golang.org/grpc"' \
		$(filter-out %.go,$(SOURCES)) | xargs -r -n1 dirname | sort -u | sed 's|^|./|')
	packages=$$($(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' $$packages)
	$(GO) test -race -short -timeout $(TEST_TIMEOUT) $$packages

.PHONY: fuzz-smoke
fuzz-smoke: ## fuzz every target for a moment (FUZZ_TIME each, FUZZ_BUDGET seconds together)
	@packages=$$(grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u)
	[ -n "$$packages" ] || { echo "fuzz-smoke: no fuzz target"; exit 0; }
	started=$$SECONDS
	for package in $$packages; do
		targets=$$($(GO) test -list '^Fuzz' $$package)
		for target in $$(grep '^Fuzz' <<<"$$targets"); do
			if (( SECONDS - started > $(FUZZ_BUDGET) )); then
				echo "fuzz-smoke: the budget of $(FUZZ_BUDGET) s is spent before $$package $$target: raise FUZZ_BUDGET" >&2
				exit 1
			fi
			echo "fuzz $$package $$target"
			# Go's engine now and then takes the end of its time for a failure and has no input to show.
			for try in 1 2 3; do
				if said=$$($(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) $$package 2>&1); then
					echo "$$said"
					break
				fi
				if (( try == 3 )) || grep -q 'Failing input' <<<"$$said" || ! grep -qx '    context deadline exceeded' <<<"$$said"; then
					echo "$$said"
					exit 1
				fi
				echo "fuzz-smoke: $$target met the end of its time and nothing else: again"
			done
		done
	done

.PHONY: fmt
fmt: ## format our own Go
	@gofmt -w $(SOURCES)

.PHONY: fmt-check
fmt-check: ## fail if gofmt would change a file
	@unformatted=$$(gofmt -l $(SOURCES))
	[ -z "$$unformatted" ] || { printf 'not formatted, run make fmt:\n%s\n' "$$unformatted" >&2; exit 1; }

.PHONY: vet
vet: ## go vet
	@$(GO) vet ./...

.PHONY: lint
lint: ## staticcheck; its exceptions and their reasons stand in staticcheck.conf
	@$(STATICCHECK) $$($(GO) list ./... | grep -v /proto/gen/)

.PHONY: generate
generate: ## write proto/gen from the treaty text
	@$(BUF) generate

.PHONY: generate-check
# Generates beside the tree and compares, so that a failing check changes nothing.
generate-check: ## fail if proto/gen is not what the treaty text generates
	@fresh=$$(mktemp -d)
	trap 'rm -rf "$$fresh"' EXIT
	$(BUF) generate -o "$$fresh"
	diff -ru proto/gen "$$fresh/proto/gen" || { echo "proto/gen differs from the treaty text: run make generate" >&2; exit 1; }
	if git rev-parse --git-dir >/dev/null 2>&1; then
		untracked=$$(git ls-files --others -- proto/gen)
		[ -z "$$untracked" ] || { printf 'generated, but not in the repository:\n%s\n' "$$untracked" >&2; exit 1; }
	fi

.PHONY: proto-check
proto-check: ## lint the treaty text, and refuse what breaks a peer of the last release
	@$(BUF) lint
	$(BUF) breaking proto --against $(BASELINE)

.PHONY: proto-baseline
proto-baseline: ## at a release: keep the treaty text as what later ones must not break
	@$(BUF) build proto --exclude-source-info -o $(BASELINE)

.PHONY: tidy-check
tidy-check: ## fail if go.mod or go.sum is not tidy, or a module was altered on this machine
	@$(GO) mod tidy -diff
	$(GO) mod verify

.PHONY: bench
bench: ## measure against the budgets; every figure beside its yardstick
	@$(GO) run ./bench

.PHONY: bench-names
bench-names: ## measure the matcher of names beside PostgreSQL's pg_trgm, on the same queries
	@$(GO) run ./bench/names

.PHONY: demo
demo: ## four bureaus on this machine, two stories
	@$(GO) run ./cmd/entente demo
