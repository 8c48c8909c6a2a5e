# make build     the binary, ./meridian; its version comes from the build information
# make test      all tests
# make lint      format, vet, staticcheck; the tools are pinned in go.mod
# make bench     micro benchmarks; BENCH=regexp picks, OLD=file compares with a kept result
# make packages  what a release has: deb, rpm, apk, tarball, OCI image, bill of materials, checksums;
#                VERSION=1.2.3 sets the version, ARCH=amd64 the architectures
# make fuzz      every fuzz target for FUZZTIME
#
# bench/run compares the whole server with others: see bench/README.md.

GO ?= go
BENCH ?= .
COUNT ?= 6
OLD ?=
FUZZTIME ?= 10s
ARCH ?= amd64,arm64
VERSION ?=

.PHONY: build test lint bench packages fuzz

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o meridian ./cmd/meridian

test:
	$(GO) test ./...

# In addition to staticcheck's defaults, a missing package comment (ST1000) and a receiver
# with two names (ST1016) are errors.
lint:
	@unformatted=$$($(GO) tool gofumpt -l .) && [ -z "$$unformatted" ] || \
		{ echo "run '$(GO) tool gofumpt -w .', it would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck -checks inherit,ST1000,ST1016 ./...
	$(GO) tool gocyclo -over 12 -ignore '_test\.go' .

bench:
	@mkdir -p dist
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... > dist/bench.txt || \
		{ cat dist/bench.txt; exit 1; }
	$(GO) tool benchstat $(OLD) dist/bench.txt

# deploy/packages is a module of its own.
packages:
	$(GO) run -C deploy/packages . -arch '$(ARCH)' -version '$(VERSION)' -out '$(CURDIR)/dist/packages'

# go test fuzzes one target of one package at a time. Without a limit, it may minimize each new
# input for a minute.
fuzz:
	@for package in $$($(GO) list ./...); do \
		tests=$$($(GO) test -run '^$$' -list '^Fuzz' $$package) || { echo "$$tests"; exit 1; }; \
		for target in $$(echo "$$tests" | grep '^Fuzz'); do \
			echo "fuzz $$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$package || exit 1; \
		done; \
	done
