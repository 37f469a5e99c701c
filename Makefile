# pen: every target is one thing to do. `make help` lists them, `make test` is the one to run before a commit.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz bench demo cross conformance generate install clean

export CGO_ENABLED := 0

PREFIX      ?= /usr/local
FUZZTIME    ?= 30s
CONFORMANCE ?= ../shared/conformance
ENGINES     ?= uring epoll portable

STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

build: ## compile the programs into bin/
	go build -trimpath -o bin/ ./cmd/...

test: ## everything a change must pass: formatting, vet, staticcheck, all tests under the race detector
	scripts/deps.sh
	scripts/gofmt.sh
	go vet ./...
	$(STATICCHECK) ./...
	scripts/gotest.sh ./...

race: ## only the tests, under the race detector
	scripts/gotest.sh ./...

lint: ## only the checkers: gofmt, vet, staticcheck, golangci-lint, shellcheck, mandoc
	scripts/deps.sh
	scripts/gofmt.sh
	go vet ./...
	$(STATICCHECK) ./...
	$(GOLANGCI) run ./...
	shellcheck scripts/*.sh scripts/penstats .ci/run
	mandoc -T lint -W warning docs/man/*.1

fuzz: ## run each fuzz test for FUZZTIME (default 30s)
	scripts/fuzz.sh $(FUZZTIME)

bench: build ## measure pen beside its peers, into bin/bench; takes long, wants a quiet machine
	go run ./bench -preset full

demo: build ## watch pen balance, fail over and talk, with nothing but Go installed
	go run ./bench/demo

cross: ## compile and vet for every system pen is written for
	scripts/cross.sh

conformance: build ## run the black-box suite in CONFORMANCE against bin/, once per engine in ENGINES
	scripts/conformance.sh "$(CONFORMANCE)" $(ENGINES)

generate: ## run `go generate`; the result is committed
	go generate ./...

install: build ## copy programs, scripts and manual pages below DESTDIR/PREFIX (default /usr/local)
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/man/man1" "$(DESTDIR)$(PREFIX)/share/pen"
	install $(addprefix bin/,$(notdir $(wildcard cmd/*))) scripts/pen-ocsp.sh "$(DESTDIR)$(PREFIX)/bin/"
	install -m 644 docs/man/*.1 "$(DESTDIR)$(PREFIX)/share/man/man1/"
	install scripts/penstats "$(DESTDIR)$(PREFIX)/share/pen/"

clean: ## remove what build made
	rm -rf bin
