# `make demo` and `make test` are all a newcomer needs: each sets up what it uses.

CARGO ?= cargo
PREFIX ?= /usr/local
TRIPLE := x86_64-unknown-linux-gnu
RELEASE := target/$(TRIPLE)/release/sriovctl
# Flags of the environment would replace those of .cargo/config.toml: the binary would not be static, and not the same.
RELEASE_CARGO = env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS $(CARGO) --config "$$(packaging/remap)"
# For fuzz.
TARGET := netlink
SECONDS := 60

.PHONY: help demo test unit vm soak lint docs picture bench size fuzz fuzz-min build install deb rpm reproducible sbom clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## Show the tool at work on a real kernel with two SR-IOV cards
	@tests/vm/setup
	@echo '==> building sriovctl' >&2
	@$(CARGO) build --quiet
	@tests/vm/lab --pfs 2 --env COLUMNS=$${COLUMNS:-$$(tput cols 2>/dev/null || echo 100)} -- \
		tests/vm/demo target/$(TRIPLE)/debug/sriovctl

test: ## Run every check, in the lab too
	@tests/run

unit: ## Run the checks that need neither root nor the lab
	@$(CARGO) test --quiet --lib --test faults --test cni --test cli --test trees --test docs

vm: ## Run the checks on the lab's kernel only
	@tests/vm/setup
	@$(CARGO) test --quiet --test vm

soak: ## Hours in the lab: 10,000 ADDs and DELs, every call failing with every error
	@tests/vm/setup
	@SRIOVCTL_SOAK=1 $(CARGO) test --quiet --test vm -- soak:: points::

lint: ## Formatting, clippy with warnings denied, shellcheck, man pages
	@$(CARGO) fmt --check
	@$(CARGO) clippy --quiet --all-targets -- -D warnings
	@shellcheck -x -P SCRIPTDIR tests/run tests/vm/setup tests/vm/lab tests/vm/demo tests/vm/session tests/vm/lab.d/common.sh .ci/run packaging/common.sh packaging/deb packaging/rpm packaging/remap packaging/reproducible packaging/sbom packaging/postinst packaging/prerm packaging/postrm contrib/kubernetes/entrypoint.sh
	@mandoc -Tlint man/*.8

docs: ## Generate completions and man pages from the command line's definition
	@$(CARGO) run --quiet --example docs

picture: ## Make docs/terminal.svg from a session in the lab
	@tests/vm/setup
	@$(CARGO) build --quiet --example picture --bin sriovctl
	@tests/vm/lab --pfs 2 --timeout 300 --script tests/vm/session -- target/$(TRIPLE)/debug/sriovctl > target/session.txt
	@target/$(TRIPLE)/debug/examples/picture < target/session.txt > docs/terminal.svg

bench: build ## Measure everything that BENCHMARKS.md tells, some ten minutes beside building; the last is one table
	@tests/vm/setup
	@$(CARGO) test --quiet --test vm -- counts::
	@$(RELEASE_CARGO) bench --quiet --profile measure --bench micro
	@$(RELEASE_CARGO) bench --quiet --profile measure --bench table -- --binary $(RELEASE)

size: build ## See that the binary has no more than 3 MiB
	@test "$$(stat -c %s $(RELEASE))" -le 3145728 || { echo 'more than 3 MiB' >&2; false; }

fuzz: ## Look for input that breaks a parser: TARGET=netlink SECONDS=60
	@mkdir -p fuzz/target/corpus/$(TARGET)
	@$(CARGO) fuzz run --sanitizer none $(TARGET) fuzz/target/corpus/$(TARGET) fuzz/corpus/$(TARGET) -- \
		-max_total_time=$(SECONDS) -max_len=4096 -timeout=20 -print_final_stats=1

fuzz-min: ## Keep of what `make fuzz` found what reaches further than the corpus: TARGET=netlink
	@$(CARGO) fuzz run --sanitizer none $(TARGET) fuzz/corpus/$(TARGET) fuzz/target/corpus/$(TARGET) -- \
		-set_cover_merge=1 -use_counters=0 -max_len=4096

build: ## Build the static release binary
	@$(RELEASE_CARGO) build --release --locked --quiet
	@ls -l $(RELEASE)

install: build ## Install below $(DESTDIR)$(PREFIX)
	install -D -m 755 $(RELEASE) $(DESTDIR)$(PREFIX)/sbin/sriovctl
	install -d $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/sbin/|$(PREFIX)/sbin/|' contrib/systemd/sriovctl.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/sriovctl.service
	install -D -m 644 completions/sriovctl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sriovctl
	install -D -m 644 completions/_sriovctl $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sriovctl
	install -D -m 644 completions/sriovctl.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sriovctl.fish

deb: build sbom ## Make the Debian package
	@packaging/deb $(RELEASE) target target/sbom.cdx.json

rpm: build sbom ## Make the package for RPM's distributions
	@packaging/rpm $(RELEASE) target target/sbom.cdx.json

reproducible: ## Build HEAD twice from clean checkouts: the same bytes, and their SHA-256
	@packaging/reproducible

sbom: ## Write what the binary is made of (CycloneDX) to target/sbom.cdx.json
	@mkdir -p target
	@packaging/sbom > target/sbom.cdx.json

clean: ## Remove what was built (the lab's cache stays)
	@$(CARGO) clean
