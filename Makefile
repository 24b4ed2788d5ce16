# The front door. Meson and Ninja do the work; see CONTRIBUTING.md.

BUILD      ?= build
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
PYTHON     ?= /usr/bin/python3
JOBS       ?= $(shell nproc)
SANITIZE   := build-sanitize

.PHONY: all deps deps-build try check lint format fuzz bench coverage install clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: run 'make deps' first"; exit 1; }
	meson setup $(BUILD) --prefix=$(PREFIX) --sysconfdir=$(SYSCONFDIR) --libexecdir=libexec

# Everything that building and testing need, from packages.txt. Nothing is installed twice.
deps:
	@tools/deps.sh build test

deps-build:
	@tools/deps.sh build

# Build, start a server on loopback, submit one message over TLS, show what happened.
try: deps-build all
	@tools/try.sh $(BUILD)

# All that CI runs: plain and sanitizer builds, unit, house, integration, interop and crash tests.
check: deps
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dtests=enabled # it may have been set up before cmocka was there
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(SANITIZE)/build.ninja
	@ninja -C $(SANITIZE) -j $(JOBS)
	@$(PYTHON) tests/run.py --build $(BUILD) --sanitize $(SANITIZE)

$(SANITIZE)/build.ninja:
	meson setup $(SANITIZE) -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debug -Doptimization=1

lint: all
	@tools/lint.sh $(BUILD)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

# Every fuzz target for FUZZ_SECONDS each, from its seeds.
FUZZ_SECONDS ?= 60
fuzz:
	@tools/fuzz.sh $(FUZZ_SECONDS)

bench: all
	@bench/run.py --build $(BUILD)

coverage:
	@tools/coverage.sh

install: all
	$(if $(filter file,$(origin PREFIX)),,@meson configure $(BUILD) -Dprefix=$(PREFIX))
	@meson install -C $(BUILD) $(if $(DESTDIR),--destdir $(DESTDIR))

clean:
	rm -rf $(BUILD) $(SANITIZE) build-fuzz build-coverage
