# Images with a container engine, one target per process:
#
#   docker build --target headroom-scheduler   -t headroom-scheduler:0.1.0 .
#   docker build --target headroom-controllers -t headroom-controllers:0.1.0 .
#
# For other machines: docker buildx build --platform linux/amd64,linux/arm64 ... (cross-compiled, not emulated). Without an
# engine: make images (docs/images.md).

FROM --platform=$BUILDPLATFORM rust:1.95.0-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends clang gcc libc6-dev llvm && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG TARGETARCH
RUN set -eu; \
	case "$TARGETARCH" in \
	amd64) target=x86_64-unknown-linux-musl ;; \
	arm64) target=aarch64-unknown-linux-musl ;; \
	arm) target=armv7-unknown-linux-musleabihf ;; \
	*) echo "no build for $TARGETARCH" >&2; exit 1 ;; \
	esac; \
	rustup target add "$target"; \
	mkdir /out; \
	for name in headroom-scheduler headroom-controllers; do \
		packaging/build-static "$target" "$name"; \
		cp "target/$target/dist/$name" /out/; \
	done

# A number: the kubelet checks runAsNonRoot by it, and scratch has no /etc/passwd.
FROM scratch AS headroom-scheduler
LABEL org.opencontainers.image.title="headroom-scheduler" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/headroom-scheduler /headroom-scheduler
USER 65532:65532
ENTRYPOINT ["/headroom-scheduler"]

FROM scratch AS headroom-controllers
LABEL org.opencontainers.image.title="headroom-controllers" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/headroom-controllers /headroom-controllers
USER 65532:65532
ENTRYPOINT ["/headroom-controllers"]
