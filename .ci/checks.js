// The one list of what a change has to pass. `.ci/run` runs it; the workflow runs it group by group.

/**
 * @typedef {object} Check
 * @property {string} claim What holds if the command ends with status 0
 * @property {string} run The command, for bash, in the project's folder
 * @property {string} group The job of the workflow that runs it
 * @property {string} [id] A name for `after`
 * @property {string} [after] The id of a check that must have passed before
 * @property {boolean} [isOnlyInWorkflow] What it runs is a part of another check here. Default false
 * @property {boolean} [alone] Runs beside nothing else: it uses both cores, measures, or writes dist. Default false
 * @property {Record<string, string>} [nightly] Environment variables of the nightly run, which make it longer
 */

/** One worker where two checks run at a time. Vitest ignores `--maxWorkers` for projects, but not this variable. */
const vitest = (/** @type {string} */ filters, workers = 1) =>
  `VITEST_MAX_WORKERS=${workers} node node_modules/vitest/vitest.mjs run --project ${filters}`
const goInstall = (/** @type {string} */ module) =>
  `command -v go >/dev/null || { echo "Go is missing: it builds ${module}"; exit 1; }; GOBIN=$PWD/.cache/bin go install ${module}`
/** GitHub's machines are not root, but may use sudo. */
const asRoot = (/** @type {string} */ command) =>
  `$([ "$(id -u)" = 0 ] || echo sudo) env "PATH=$PATH" ${command}`
/** What depends on Node's TLS, crypto and file system; the workflow runs all of npm test on each version. */
const nodeDependent = ['e2e', 'server', 'certificates', 'acme', 'cache', 'stores/directory', 'stores/sql']
  .map((folder) => `test/${folder}`)
  .join(' ')
/** The examples have dependencies of their own, so that the root's install stays quick. */
const installExamples = 'npm ci --prefix examples --no-audit --no-fund'
const onNode = (/** @type {number} */ version, /** @type {string} */ command) =>
  command.replace('node ', `npx --yes --package node@${version} -- node `)

/** @type {readonly Check[]} */
export const checks = [
  { group: 'node', claim: 'tests pass with nothing but Node', run: 'npm test', alone: true },
  {
    group: 'node',
    claim: 'every claim of the demo holds, and the README shows its output',
    run: 'node test/package/demo.js',
    alone: true,
  },
  {
    group: 'node',
    claim: 'every example runs, and type-checks',
    run: `${installExamples} && ${vitest('examples', 2)}`,
    alone: true,
  },

  {
    group: 'static',
    claim: 'the packed tarball can be imported, required, type-checked and bundled',
    run: 'npm run --silent test:package',
    alone: true,
  },

  // Many processes at once, and leases that are measured in seconds: beside nothing else.
  {
    group: 'fleet',
    claim: 'a fleet places one order on every store; Azure keeps the contract with many requests',
    run: vitest('long test/fleet/fleet test/fleet/local test/fleet/renewal test/contract/azure-blob', 2),
    alone: true,
  },

  {
    group: 'fleet',
    claim: 'a sick machine keeps no host from a healthy one',
    run: vitest('long test/fleet/sick-machine', 2),
    alone: true,
  },

  // One waits for leases to expire, the other computes.
  {
    group: 'fleet',
    claim: 'the lock of a holder that dies, stops or is cut off is taken over, on every store',
    run: vitest('long test/fleet/takeover test/contract/contract test/contract/broken', 3),
  },
  {
    group: 'simulation',
    claim: 'years of renewals with outages: no expired certificate, no needless order',
    run: `DAYS=\${DAYS:-250} ${vitest('simulation')}`,
    nightly: { DAYS: '1000' },
  },

  { group: 'static', claim: 'lint', run: 'npm run --silent lint' },
  { group: 'static', claim: 'types are sound', run: 'npx tsc -p tsconfig.json' },
  { group: 'static', claim: 'no promise is left floating', run: 'node test/package/promises.js' },
  { group: 'static', claim: 'the public API is the one in api/', run: 'node test/package/api.js' },
  { group: 'static', claim: 'docs/api is what TypeDoc writes', run: 'npm run --silent check:docs' },
  {
    group: 'static',
    claim: 'every snippet in the documentation type-checks',
    run: 'node test/package/snippets.js',
  },
  { group: 'static', claim: 'no dead code, no unused dependency', run: 'npm run --silent check:unused' },
  { group: 'static', claim: 'the import loads no heavy dependency', run: 'node test/package/imports.js' },
  {
    group: 'long',
    claim: 'faults of the store and of the CA cost no order',
    run: vitest('long test/faults test/acme'),
  },
  {
    group: 'long',
    claim: 'hostile clients learn nothing and no secret leaks',
    run: vitest('long test/hostile test/secrets'),
  },
  {
    group: 'long',
    claim: 'the command: the long tail of arguments and answers',
    run: vitest('long test/cli'),
  },
  {
    group: 'long',
    claim: 'stores and test CA: the slow cases',
    run: vitest('long test/stores test/e2e test/testing test/manager'),
  },
  {
    group: 'long',
    claim: 'a folder that is unmounted or full under a running server costs no order',
    run: asRoot(vitest('mounts')),
  },
  {
    group: 'long',
    claim: 'fuzzing for longer finds nothing',
    run: `FUZZ_TIMES=\${FUZZ_TIMES:-5} ${vitest('quick test/fuzz')}`,
    nightly: { FUZZ_TIMES: '60' },
  },
  {
    group: 'go',
    id: 'pebble',
    claim: 'Pebble builds',
    run: goInstall('github.com/letsencrypt/pebble/v2/cmd/...@v2.10.1'),
  },
  {
    group: 'go',
    after: 'pebble',
    claim: 'end to end on Pebble',
    run: `PEBBLE_BIN=$PWD/.cache/bin ${vitest('pebble')}`,
  },
  {
    group: 'go',
    claim: 'Go and Node share a container, byte for byte',
    run: vitest('interop'),
  },
  {
    group: 'go',
    claim: 'a Go program and DirCertCache share a folder',
    run: 'node test/interop/check-folder.js',
  },
  {
    group: 'stores',
    id: 'databases',
    claim: 'PostgreSQL and MariaDB are there',
    run: `command -v mariadbd >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
      { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql mariadb-server >/dev/null; }`,
  },
  {
    group: 'stores',
    id: 's3',
    claim: 'an S3 server builds',
    run: goInstall('github.com/versity/versitygw/cmd/versitygw@v1.8.0'),
  },
  {
    group: 'stores',
    after: 's3',
    id: 'examples',
    claim: 'the dependencies of the examples install',
    run: installExamples,
    alone: true,
  },
  {
    group: 'stores',
    after: 'examples',
    claim: 'S3CertCache and its example on a real S3 server',
    run: `S3_SERVER_BIN=$PWD/.cache/bin/versitygw ${vitest('s3', 3)}`,
  },

  {
    group: 'portable',
    claim: 'what does not need Linux passes here',
    run: vitest('quick test/certificates test/cache test/util test/acme test/server test/stores/azure', 2),
    isOnlyInWorkflow: true,
  },

  // Not in the workflow, which has a job for each version.
  ...[22, 24, 26].map((version) => ({
    group: 'versions',
    claim: `tests pass on Node ${version}`,
    run: onNode(version, vitest(`quick --project isolated ${nodeDependent}`)),
  })),

  {
    group: 'servers',
    id: 'servers',
    claim: 'the servers and frameworks of test/servers install',
    run: 'npm ci --prefix test/servers --no-audit --no-fund',
  },
  {
    group: 'servers',
    after: 'servers',
    claim: 'the tests of servers and frameworks type-check, and leave no promise floating',
    run: 'npx tsc -p test/servers && node test/package/promises.js test/servers',
  },
  {
    group: 'servers',
    after: 'servers',
    claim: 'every server and framework works on the lowest version of Node',
    run: vitest('servers'),
  },
  {
    group: 'servers',
    after: 'servers',
    claim: 'every server and framework works on the newest version of Node',
    run: onNode(26, vitest('servers')),
  },

  {
    group: 'stores',
    after: 'databases',
    claim: 'SqlCertCache on PostgreSQL and MariaDB',
    run: vitest('databases', 3),
    alone: true,
  },
  {
    group: 'floods',
    claim: 'floods of hostile clients cost nothing',
    run: `FLOOD_TIMES=\${FLOOD_TIMES:-2000} ${vitest('floods')}`,
    alone: true,
    nightly: { FLOOD_TIMES: '10000' },
  },
  {
    group: 'floods',
    claim: 'gremlins at one machine disturb no other, and cost few orders',
    run: `GREMLINS_SECONDS=\${GREMLINS_SECONDS:-30} SEED=\${SEED:-15} ${vitest('gremlins')}`,
    alone: true,
    nightly: { GREMLINS_SECONDS: '600' },
  },
  {
    group: 'floods',
    claim: 'the command lists many blobs in constant memory',
    run: `BLOBS=\${BLOBS:-3000} ${vitest('operating')}`,
    nightly: { BLOBS: '100000' },
  },
]
