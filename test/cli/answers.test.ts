import { expect, onTestFinished, test, vi } from 'vitest'
import { azurite } from '../support/azure.js'
import { accessTo } from '../support/cli.js'
import { echoes, openEcho } from '../support/echo.js'
import { checked, keepSecret } from '../support/operator.js'
import { openTap } from '../support/tap.js'
import { runInProcess } from './in-process.js'
import { oneLine } from './one-line.js'

const signature = 'c2VjcmV0c2lnbmF0dXJl'
keepSecret(signature)
const env = { AZURE_STORAGE_SAS_TOKEN: `?sv=2021-08-06&sr=c&sig=${signature}%3D` }

test.each(echoes)('does not show a SAS that the service repeats in %s', async (_name, answer) => {
  const access = ['--container', 'certs', '--endpoint', await openEcho(answer)]
  for (const [command, ...args] of [['ls'], ['show', 'a.example']] as const) {
    const result = checked(await runInProcess([command, ...access, ...args], { env }))
    expect({ command, ...result }).toMatchObject({ command, code: 1, stderr: oneLine(/./) })
  }
})

const plain = 'text/plain'
test.each([
  ['404 without a body', { status: 404, type: plain, body: '' }, /certs.*status 404\)\. Check --endpoint/],
  [
    '503 without a body',
    { status: 503, type: plain, body: '' },
    /status 503\)\. Try again\. If the error persists/,
  ],
  [
    'an HTML page',
    { status: 200, type: 'text/html', body: '<html><p>hello</p></html>' },
    /is not (one of|from) Azure Blob Storage\. Check --endpoint/,
  ],
] as const)('states what to do about the response: %s', async (_name, answer, message) => {
  const access = ['--container', 'certs', '--endpoint', await openEcho(() => answer)]
  const result = checked(await runInProcess(['ls', ...access], { env }))
  expect(result).toMatchObject({ code: 1, stderr: oneLine(message) })
})

async function ls(endpoint: string): Promise<string> {
  const { flags, env } = accessTo('certs', endpoint)
  return checked(await runInProcess(['ls', ...flags], { env })).stderr
}

test('suggests checking --endpoint when the endpoint lacks the account name', async () => {
  const { origin } = new URL(azurite().endpoint)
  expect(await ls(origin)).toMatch(/certs.* Check --endpoint: .*for an emulator, with the account name/)
})

test('says how to create a missing container', async () => {
  const stderr = await ls(azurite().endpoint)
  expect(stderr).toContain('Create the container with "az storage container create"')
  expect(stderr).not.toContain('connect()')
})

test('times out after 15 s when the service does not answer', async () => {
  const timeouts: (() => void)[] = []
  const { setTimeout: set } = globalThis
  const spy = vi.spyOn(globalThis, 'setTimeout').mockImplementation(((callback: () => void, ms?: number) => {
    if (ms === 15_000) timeouts.push(callback)
    return set(callback, ms)
  }) as typeof setTimeout)
  onTestFinished(() => void spy.mockRestore())
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  tap.fault(() => 'hang')
  const stderr = ls(tap.endpoint)
  await expect.poll(() => tap.pending).toBe(1)
  expect(timeouts).toHaveLength(1)
  for (const timeout of timeouts) timeout()
  expect(await stderr).toMatch(/(took longer than|timed out after) 15000 ms.*overloaded/)
})
