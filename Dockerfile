# larder in a container. There is nothing to build: Node runs the TypeScript sources as they are.
#   docker build -t larder .
#   docker run --read-only --cap-drop ALL -p 8080:8080 -v larder-data:/data larder
FROM node:26-slim

WORKDIR /app

# The dependencies first, so that a change of the sources reuses this layer. They are root's: larder cannot write them.
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund && npm cache clean --force
COPY src ./src

# The only place that larder writes to. A new named volume takes its owner from here.
RUN mkdir /data && chown node:node /data
VOLUME /data

# What npm start says, too; what each gives is told in bench/README.md. Two arenas: glibc gives each of libuv's threads one
# of its own, and what they free stays with them. Buffers from 8 MiB on in maps of their own, which go back when they are
# freed; what is smaller is used again, for new pages cost a cold document more than gunzip does. glibc would raise that
# bound by itself to what was freed last, up to 32 MiB.
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=node_modules/.cache/larder \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=8388608 \
    MALLOC_TRIM_THRESHOLD_=16777216 \
    LARDER_DATA=/data

# Node keeps here what it compiles, for this user alone, and writes it when a process ends. A larder that runs for some seconds
# now spares every later one half of its start, and the 17 MB of what strips types. It also shows that this image starts.
RUN mkdir node_modules/.cache && chown node:node node_modules/.cache
USER node
RUN (LARDER_DATA=/tmp/data timeout 5 node --max-semi-space-size=8 --initial-old-space-size=64 src/main.ts || test $? -eq 124) && rm -r /tmp/data

EXPOSE 8080

# Alive, not ready: an upstream that is down is no reason to restart a cache.
# Asks where HOST and PORT say that larder listens; a wildcard address is reached over loopback.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "const { HOST = '', PORT } = process.env; const host = ['', '0.0.0.0', '::'].includes(HOST) ? '127.0.0.1' : HOST.includes(':') ? `[${HOST}]` : HOST; fetch(`http://${host}:${PORT || 8080}/healthz`).then((response) => process.exit(response.ok ? 0 : 1), () => process.exit(1))"]

# The process itself, not npm: npm would not hand SIGTERM on, and larder drains on it. V8's young generation takes three times
# the size named here, whatever it holds; V8's own bound would make it 48 MiB.
CMD ["node", "--max-semi-space-size=8", "--initial-old-space-size=64", "src/main.ts"]
