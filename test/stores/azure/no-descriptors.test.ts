import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('connect works again after a shortage of file descriptors', () => {
  const program = fileURLToPath(new URL('no-descriptors.js', import.meta.url))
  // The limit keeps the program fast: it opens every descriptor.
  const output = execFileSync('sh', ['-c', 'ulimit -n 200; exec "$0" "$1"', process.execPath, program])
  // The SDK is loaded, and nothing listens on the port.
  expect(String(output)).toBe('EMFILE ERR_STORE_UNREACHABLE')
})
