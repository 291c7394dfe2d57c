# The image holds one static binary, its bill of materials and nothing else: no shell, no libc, no package manager.
#
#   docker build -t attache .
#
# With a static binary built beside it and the bill (deploy/image/materials), only the last stage is needed:
#
#   docker build -t attache --target runtime --build-context build=DIRECTORY_WITH_BOTH .

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The target is named, although it is the builder's own: static linking must spare procedural macros.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(rustc --print host-tuple)" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" \
 && cp "target/$target/release/attache" /attache \
 && deploy/image/materials --target "$target" >/attache.cdx.json

FROM scratch AS runtime
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="attache" \
      org.opencontainers.image.description="A Layer-7 gateway and load balancer for A2A agents" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /attache /attache
COPY --from=build /attache.cdx.json /attache.cdx.json
COPY deploy/image/gateway.yaml /etc/attache/gateway.yaml
# A volume mounted here inherits this owner, so `certs dev` can fill it.
COPY --chown=65532:65532 deploy/image/certs /certs
# The same for what outlives a container: `state.file`, `reload.lastGoodFile`.
COPY --chown=65532:65532 deploy/image/state /var/lib/attache
USER 65532:65532
# Cleartext, TLS, and metrics with the health endpoints.
EXPOSE 8080 8443 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/attache", "healthcheck"]
ENTRYPOINT ["/attache"]
CMD ["run", "-c", "/etc/attache/gateway.yaml"]
