# syntax=docker/dockerfile:1
# One image for every part: `rts api`, `rts worker`, `rts scheduler`, and the operator's commands.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# What /health names as the commit, such as $(git rev-parse --short HEAD).
ARG RTS_COMMIT
# The caches live outside the image, so the binary is copied out of the target folder in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    if [ -z "$RTS_COMMIT" ]; then unset RTS_COMMIT; fi; \
    cargo build --release --locked -p cli --bin rts --no-default-features --features server && cp target/release/rts /usr/local/bin/rts

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent rts
COPY --from=build /usr/local/bin/rts /usr/local/bin/rts
USER 10001:10001
ENV SERVICE_HOST=0.0.0.0 SERVICE_PORT=8080 LOG_FORMAT=json
EXPOSE 8080
ENTRYPOINT ["rts"]
CMD ["api"]
