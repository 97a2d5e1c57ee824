# A digest pins what it stands on: docker build --build-arg NODE_IMAGE=node:24-slim@sha256:… .
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS app
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Nothing of what is installed here needs its install script: better-sqlite3 carries its binaries.
RUN npm ci --omit=dev --ignore-scripts
COPY migrations migrations
COPY src src
# Whatever the umask of the checkout was, the service's user reads all of it and writes none.
RUN chmod -R a+rX,go-w .

FROM ${NODE_IMAGE}
WORKDIR /app
COPY --from=app /app ./
RUN mkdir -m 700 /data && chown node:node /data
# WECHATPAY_MODE alone is half a configuration: an image that nobody configured says so and does not start the demo.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 DATA_DIR=/data WECHATPAY_MODE=direct
USER node
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`, { signal: AbortSignal.timeout(2000) }).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Without the shell script of the base image: the first process is the service, which hears each signal itself.
ENTRYPOINT []
# Under Node's permission model: it reads its code and key files, writes /data, and starts no process.
CMD ["node", "src/locked.ts"]
