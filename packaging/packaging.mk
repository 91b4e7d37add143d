# What is shipped beside the source: images, bills of materials, manifests, pages, completions, releases. Included by the
# Makefile.

VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$$/\1/p' Cargo.toml)
PACKAGES := $(abspath $(CARGO_TARGET_DIR))/packages
# Machines that are built for; `arm` (32 bits) can be added.
DIST_ARCHES ?= amd64 arm64
TARGET_amd64 := x86_64-unknown-linux-musl
TARGET_arm64 := aarch64-unknown-linux-musl
TARGET_arm := armv7-unknown-linux-musleabihf
PLATFORM_amd64 := linux/amd64
PLATFORM_arm64 := linux/arm64
PLATFORM_arm := linux/arm/v7
static = $(abspath $(CARGO_TARGET_DIR))/$(TARGET_$(1))/dist/$(2)
IMAGES := headroom-scheduler headroom-controllers
SHIPPED := $(IMAGES) kubectl-headroom
DESCRIPTION_headroom-scheduler := Kubernetes scheduler for small clusters: places pods by the memory and swap that nodes really have
DESCRIPTION_headroom-controllers := Kubernetes controllers for small clusters: measure nodes, learn what workloads need, keep them reconciled
# Of the same source everything is the same, byte for byte: the time in it is the last commit's.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
REVISION ?= $(shell git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
# Where images will be pushed to, if anywhere, and where the source is to be found, if it is.
IMAGE_REGISTRY ?=
SOURCE_URL ?=
IMAGE_TOOL = SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) CARGO="$(CARGO)" CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off \
	go run -C packaging/image .
HELM ?= helm

.PHONY: dist-all images image-check image-test sbom man completions manifests manifests-check release

dist-all: mine ## Build what is shipped for every machine (DIST_ARCHES="amd64 arm64 arm"; others than this one need clang and llvm)
	rustup target add $(foreach arch,$(DIST_ARCHES),$(TARGET_$(arch)))
	@set -e; for target in $(foreach arch,$(DIST_ARCHES),$(TARGET_$(arch))); do for name in $(SHIPPED); do \
		CC="$(CC)" CARGO="$(CARGO)" packaging/build-static $$target $$name; \
	done; done

images: dist-all ## Make the images as OCI archives, without a container engine (docs/images.md)
	@mkdir -p "$(PACKAGES)" && rm -f "$(PACKAGES)/images.txt"
	@$(foreach name,$(IMAGES),$(IMAGE_TOOL) build -name $(name) -version "$(VERSION)" -registry "$(IMAGE_REGISTRY)" \
		-description "$(DESCRIPTION_$(name))" -revision "$(REVISION)" -source "$(SOURCE_URL)" \
		$(foreach arch,$(DIST_ARCHES),-binary "$(PLATFORM_$(arch))=$(call static,$(arch),$(name))") \
		-out "$(PACKAGES)/$(name)-$(VERSION).oci.tar" >> "$(PACKAGES)/images.txt" &&) cat "$(PACKAGES)/images.txt"

image-check: images ## Build the images a second time, from a copy elsewhere, and compare (takes as long again)
	@packaging/reproduce "$(PACKAGES)" "$(MAKE)" DIST_ARCHES="$(DIST_ARCHES)" SOURCE_DATE_EPOCH="$(SOURCE_DATE_EPOCH)" \
		REVISION="$(REVISION)" IMAGE_REGISTRY="$(IMAGE_REGISTRY)" SOURCE_URL="$(SOURCE_URL)"

image-test: ## Test the program that makes images and bills of materials
	cd packaging/image && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off go test ./...

sbom: dist-all ## List what the shipped binaries are made of (CycloneDX JSON beside the images)
	@mkdir -p "$(PACKAGES)"
	@$(foreach arch,$(DIST_ARCHES),$(foreach name,$(SHIPPED),$(IMAGE_TOOL) sbom -package $(name) -target $(TARGET_$(arch)) \
		-binary "$(call static,$(arch),$(name))" -out "$(PACKAGES)/$(name)-$(VERSION)-linux-$(arch).cdx.json" &&)) true

man: mine ## Write the man pages
	@$(CARGO) run $(PROFILE) --quiet -p headroom-man -- "$(PACKAGES)/man"
	@echo "man pages: $(PACKAGES)/man"

completions: mine ## Write the shells' completions
	@$(CARGO) build $(PROFILE) --quiet -p kubectl-headroom
	@mkdir -p "$(PACKAGES)/completions"
	@set -e; for shell in bash zsh fish; do $(BIN)/kubectl-headroom completion $$shell > "$(PACKAGES)/completions/kubectl-headroom.$$shell"; done
	@$(BIN)/kubectl-headroom completion kubectl > "$(PACKAGES)/completions/kubectl_complete-headroom" && chmod +x "$(PACKAGES)/completions/kubectl_complete-headroom"
	@echo "completions: $(PACKAGES)/completions"

manifests: ## Render deploy/ from the chart (HELM=helm)
	@HELM="$(HELM)" packaging/manifests/render deploy

manifests-check: ## Is deploy/ what the chart renders?
	@HELM="$(HELM)" packaging/manifests/render --check deploy

release: images sbom man completions manifests-check ## Put together everything that is released, with checksums (packaging/release)
	@VERSION="$(VERSION)" PACKAGES="$(PACKAGES)" SOURCE_DATE_EPOCH="$(SOURCE_DATE_EPOCH)" HELM="$(HELM)" RELEASE_URL="$(RELEASE_URL)" \
		packaging/release/release $(foreach arch,$(DIST_ARCHES),$(arch)=$(dir $(call static,$(arch),x)))
