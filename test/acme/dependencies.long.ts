import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { TestCa } from '../../src/testing/index.js'

const program = new URL('out-of-descriptors.js', import.meta.url).pathname

test('a manager that could not load its dependencies for lack of descriptors loads them at a later order', async () => {
  await using ca = await TestCa.start({ challengeTypes: ['http-01'] })
  // One shell, because a process cannot lower its own limit.
  const child = spawn('sh', ['-c', 'ulimit -n 128; exec "$0" "$1"', process.execPath, program], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  ca.httpPort = port
  const { directoryUrl, endpointCertificate } = ca
  child.send({ termsOfServiceAgreed: true, directoryUrl, ca: endpointCertificate })
  const [[first, second]] = (await once(child, 'message')) as [string[]]
  expect(first).toMatch(/^(ERR_|EMFILE)/)
  expect(second).toBe('issued')
  expect(await exited).toEqual([0, null])
})
