import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    // Bounds for a machine that is busy with something else, too; they don't measure anything.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    projects: [
      {
        extends: true,
        test: { name: 'default', include: ['test/**/*.test.ts'], exclude: ['test/fleet/**'] },
      },
      // Processes, many at once: as much of it as fits into npm test, and what waits for leases to end.
      { extends: true, test: { name: 'fleet', include: ['test/fleet/*.test.ts'] } },
      {
        extends: true,
        test: { name: 'takeover', include: ['test/fleet/*.long.ts', 'test/contract/*.long.ts'] },
      },
      // The same storms on the stores that need nothing else; S3's and the databases' are with their other tests.
      { extends: true, test: { name: 'stores', include: ['test/fleet/*.stores.ts'] } },
      // Years of virtual time, which take minutes.
      { extends: true, test: { name: 'simulation', include: ['test/simulation/*.long.ts'] } },
      // Attacks by the ten thousand, with figures: beside nothing else, as the event loop's delay is measured.
      {
        extends: true,
        test: {
          name: 'floods',
          include: ['test/hostile/*.long.ts'],
          testTimeout: 300_000,
          disableConsoleIntercept: true,
        },
      },
      // Needs a real S3 server: a command of its own, npm run test:s3.
      { extends: true, test: { name: 's3', include: ['test/s3/*.s3.ts'], testTimeout: 120_000 } },
      // Needs PostgreSQL and MariaDB: a command of its own, npm run test:databases.
      {
        test: {
          name: 'databases',
          include: ['test/sql/*.databases.ts'],
          globalSetup: ['test/sql/servers.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 10_000 } },
        },
      },
      // The command on a container of 100,000 blobs, which take minutes to make.
      { extends: true, test: { name: 'operating', include: ['test/cli/*.long.ts'], testTimeout: 1_200_000 } },
      // Needs Go's Pebble: a command of its own, npm run test:pebble.
      { extends: true, test: { name: 'pebble', include: ['test/**/*.pebble.ts'], testTimeout: 120_000 } },
      // Needs Go, for autocert: a command of its own, npm run test:interop.
      {
        extends: true,
        test: {
          name: 'interop',
          include: ['test/**/*.interop.ts'],
          globalSetup: ['test/interop/global-setup.ts'],
          testTimeout: 120_000,
        },
      },
    ],
  },
})
