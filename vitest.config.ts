import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/** One suite: the files whose names end in `.<suffix>.ts`, and the command that runs it. CONTRIBUTING.md lists them. */
const suite = (name: string, suffix: string, settings: object = {}) => ({
  extends: true as const,
  test: { name, include: [`test/**/*.${suffix}.ts`], globalSetup: [azurite], ...settings },
})
const azurite = 'test/support/global-setup.ts'

export default defineConfig({
  test: {
    // Vitest's own default leaves one core idle, which of two is half.
    maxWorkers: availableParallelism(),
    allowOnly: false,
    // They end what hangs; they measure nothing, and hold on a machine that is busy with something else.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    projects: [
      // npm test. The files of a worker share the modules that it has loaded, which saves a third of the time …
      suite('quick', 'test', { isolate: false }),
      // … except those that replace modules, with vi.mock() or as the simulation's platform does.
      suite('isolated', 'isolated', { globalSetup: [], sequence: { groupOrder: 1 } }),
      // npm run test:faults, test:hostile, test:fleet, … : the same project, one folder each
      suite('long', 'long', { testTimeout: 300_000 }),
      // npm run test:simulation: years of virtual time
      suite('simulation', 'years', { testTimeout: 600_000, globalSetup: [] }),
      // npm run test:floods: attacks by the ten thousand, beside nothing else
      suite('floods', 'flood', { testTimeout: 600_000, disableConsoleIntercept: true }),
      // npm run test:gremlins: GREMLINS_SECONDS of trouble for each store, in the order of SEED
      suite('gremlins', 'gremlins', { testTimeout: 1_800_000, disableConsoleIntercept: true }),
      // npm run test:operating: the command on up to 100,000 blobs
      suite('operating', 'operating', { testTimeout: 1_200_000 }),
      // npm run test:examples: the programs in examples/, which have dependencies of their own
      suite('examples', 'examples', { testTimeout: 300_000 }),
      // npm run test:servers: every server and framework, from packages that the folder installs
      suite('servers', 'servers', { globalSetup: ['test/servers/global-setup.ts'] }),
      // npm run test:s3: needs an S3 server
      suite('s3', 's3', { testTimeout: 300_000 }),
      // npm run test:databases: needs PostgreSQL and MariaDB
      suite('databases', 'databases', {
        globalSetup: ['test/stores/sql/servers.ts'],
        testTimeout: 300_000,
        hookTimeout: 300_000,
      }),
      // npm run test:mounts: mounts file systems, which needs root
      suite('mounts', 'mounts', { globalSetup: [], testTimeout: 300_000 }),
      // npm run test:pebble: needs Pebble
      suite('pebble', 'pebble', { testTimeout: 300_000 }),
      // npm run test:interop: needs Go
      suite('interop', 'interop', {
        globalSetup: [azurite, 'test/interop/global-setup.ts'],
        testTimeout: 300_000,
      }),
    ],
  },
})
