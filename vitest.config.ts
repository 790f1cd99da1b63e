import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      { extends: true, test: { name: 'default', include: ['test/**/*.test.ts'] } },
      // Needs Go's Pebble: a command of its own, npm run test:pebble.
      { extends: true, test: { name: 'pebble', include: ['test/**/*.pebble.ts'], testTimeout: 120_000 } },
    ],
  },
})
