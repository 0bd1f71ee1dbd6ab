# Builds the broker's image with any builder: BuildKit, Docker's classic builder (az acr build), buildah and podman. So
# there is nothing in it that only BuildKit understands. docs/image.md says how to build it and what it contains. Both
# base images are pinned by digest. To use others, set the arguments NODE_IMAGE (Debian with the pinned Node, npm and dpkg) and RUNTIME_IMAGE (the
# same Debian, with libstdc++).
ARG NODE_IMAGE=pinned-node
ARG RUNTIME_IMAGE=pinned-runtime

# These are separate stages without arguments, because Dependabot does not read arguments.
FROM docker.io/library/node:26.10.0-trixie-slim@sha256:ec7758ee051e457b468b32bde57b0879010b325bb9862718e9615225ce4aaae1 AS pinned-node
FROM gcr.io/distroless/cc-debian13:nonroot@sha256:54df941ed0d06a1bd95ef5e0ce391fd8d9f94b64782dc9a60062727849ee3f97 AS pinned-runtime

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# The URL of a mirror, if it requires no credential. docs/image.md says how to use one that does.
ARG NPM_CONFIG_REGISTRY
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY LICENSE openapi.yaml ./
COPY scripts/bundle.ts scripts/compiled.ts scripts/healthcheck.mjs scripts/node-flags.ts scripts/packages.ts \
    scripts/start.cjs scripts/write-compiled.cjs ./scripts/
# Only to compile the bundle: the code for a first token.
COPY emulator ./emulator
COPY src ./src
COPY web ./web
RUN node scripts/bundle.ts /image/app
# Node needs libatomic, which the runtime image lacks. dpkg's record of it lets scanners find it in the image.
RUN mkdir -p /image/usr/lib /image/usr/local /image/var/lib/dpkg/status.d && \
    cp /usr/local/LICENSE /image/usr/local/LICENSE && \
    cp -L /usr/lib/*-linux-gnu/libatomic.so.1 /image/usr/lib/ && \
    dpkg-query --status libatomic1 > /image/var/lib/dpkg/status.d/libatomic1

FROM ${RUNTIME_IMAGE}
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /image /

ENV NODE_ENV=production
WORKDIR /app
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/node", "/app/dist/healthcheck.mjs"]
# scripts/node-flags.ts says what each flag is for. With others, the compiled code in the image is not used.
ENTRYPOINT ["/usr/local/bin/node", "--disable-sigusr1", "--no-concurrent-recompilation", "--max-semi-space-size=8", "--heap-growing-percent=30", "/app/dist/token-broker.cjs"]
CMD ["serve"]

ARG VERSION
ARG REVISION
ARG SOURCE
ARG BASE_NAME
ARG BASE_DIGEST
LABEL org.opencontainers.image.title="token-broker" \
      org.opencontainers.image.description="Issues tenant-scoped Microsoft Entra access tokens to authenticated callers, as a policy allows" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_NAME}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"
