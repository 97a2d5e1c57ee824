FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Nothing of what is installed here needs its install script: better-sqlite3 carries its binaries.
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-slim
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY migrations migrations
COPY src src
RUN mkdir /data && chown node:node /data
# WECHATPAY_MODE alone is half a configuration: an image that nobody configured says so and does not start the demo.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 DATA_DIR=/data WECHATPAY_MODE=direct
USER node
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Under Node's permission model: it reads its code and key files, writes /data, and starts no process.
CMD ["node", "src/locked.ts"]
