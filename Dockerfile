# syntax=docker/dockerfile:1
# One image for every part: `rts api`, `rts worker`, `rts scheduler`, and the operator's commands.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg RTS_COMMIT=$(git rev-parse HEAD) .
#
# The default target has no shell and no package manager: probes call `rts health`. The target `debug` has busybox beside
# it: docker build --target debug. Both run as 10001, and both bases are pinned by digest; dependabot renews the digests.

# Built on each architecture by its own compiler: aws-lc has C code, which cross compilers build slowly and rarely.
FROM rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
# Writes the list of crates into the binary, where `cargo audit bin` and scanners of images read it.
RUN cargo install cargo-auditable --version 0.7.7 --locked --root /usr/local
WORKDIR /src
COPY . .
# What /health names as the commit.
ARG RTS_COMMIT
ARG TARGETARCH
# The caches live outside the image, so the binary is copied out of the target folder in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=target-$TARGETARCH \
    if [ -z "$RTS_COMMIT" ]; then unset RTS_COMMIT; fi; \
    cargo auditable build --release --locked -p cli --bin rts --no-default-features --features server \
    && cp target/release/rts /usr/local/bin/rts

FROM gcr.io/distroless/cc-debian12:debug-nonroot@sha256:923320b891f20d5f4bd43ed3a72eeee2f3323d481d6f4bd8d0b2c96d1c0758bc AS debug
COPY --from=build /usr/local/bin/rts /usr/local/bin/rts
USER 10001:10001
ENV SERVICE_HOST=0.0.0.0 SERVICE_PORT=8080 LOG_FORMAT=json
EXPOSE 8080
ENTRYPOINT ["rts"]
CMD ["api"]

# The last stage is what is built without --target.
FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
ARG RTS_COMMIT
ARG RTS_VERSION
ARG RTS_SOURCE
LABEL org.opencontainers.image.title="Runner Token Service" \
      org.opencontainers.image.description="Hands out GitHub self-hosted runners without handing out GitHub credentials" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="$RTS_SOURCE" \
      org.opencontainers.image.revision="$RTS_COMMIT" \
      org.opencontainers.image.version="$RTS_VERSION"
COPY --from=build /usr/local/bin/rts /usr/local/bin/rts
USER 10001:10001
ENV SERVICE_HOST=0.0.0.0 SERVICE_PORT=8080 LOG_FORMAT=json
EXPOSE 8080
ENTRYPOINT ["rts"]
CMD ["api"]
