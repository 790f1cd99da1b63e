import { expect, test } from 'vitest'
import { run } from './programs.js'

test.each(['node-test/server.test.js', 'custom-store/store.test.js'])(
  'node --test %s passes, and ends without process.exit()',
  async (file) => {
    const { ended, output } = run(file, {}, ['--test', '--test-reporter=tap'])
    expect(await ended, output()).toEqual({ code: 0, signal: null })
    expect(output()).toMatch(/^# fail 0$/m)
    expect(output()).not.toMatch(/^# pass 0$/m)
  },
)
