import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('a program ends after it has closed its server, the manager and the CA', async () => {
  const program = fileURLToPath(new URL('sample.js', import.meta.url))
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program], { timeout: 60_000 })
  // The port of the CA is part of the default prefix of the keys.
  expect({ stdout, stderr }).toEqual({ stdout: 'hello\n127.0.0.1_PORT~a.example\n', stderr: '' })
})
