# Two commands do all the set-up: `make demo` and `make test`.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
PACKAGES := ./...
SOAK     := 8h

.PHONY: help build demo test faults soak bench bench-scale lint fmt setup clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## bin/vagus
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/vagus ./cmd/vagus

demo: build ## the main jobs on this machine: HL7, FHIR, X12, CSV, webhook and back, over a link that is cut
	@bin/vagus demo

setup: ## what the tests need: PostgreSQL, a C compiler for the race detector, peers (installs from Debian when root)
	@contract-tests/setup.sh

test: setup ## all tests with the race detector
	VAGUS_PEERS=1 go test -race -timeout 15m $(PACKAGES)

faults: setup ## everything that fails in hospitals, under load, judged by an auditor (15 minutes; FAULTS='-seed 7 mixed')
	@go run ./contract-tests/faults $(FAULTS)

soak: setup ## faults at random for hours (SOAK=8h)
	@go run ./contract-tests/faults -for $(SOAK) mixed

bench: setup ## the benchmarks that the promises name; prints a table, compares with the last run, writes contract-tests/bench/last.json
	@go run ./contract-tests/bench $(BENCH)

bench-scale: setup ## load and scale, with targets: 10 million units, 1.8 million waiting, 100 sites (40 minutes, 16 GB of disk; BENCH=-short: 10)
	@go run ./contract-tests/bench -scale -save $(BENCH)

lint: ## gofmt, vet, staticcheck, layers
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt -w these: $$unformatted"; exit 1; }
	go vet $(PACKAGES)
	go tool staticcheck $(PACKAGES)
	go test -count=1 -run 'TestImports|TestTheTopLevel' ./contract-tests/

fmt: ## gofmt the tree
	@gofmt -w $$(git ls-files '*.go')

clean: ## remove what was built
	@rm -rf bin
