// Runs before each npm script, on whatever `node` the PATH holds, so it keeps to syntax that old versions read.
// better-sqlite3 13 crashes without a word on Node 20, and .ts files do not start there.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(
    `smartguide-assign needs Node 24 or newer, and this is Node ${process.versions.node}: run "npm ci" without --omit=dev and with install scripts allowed (it installs Node 24 beside the project), or put Node 24 on the PATH.\n`,
  )
  process.exit(1)
}
