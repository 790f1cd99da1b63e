import { expect, onTestFinished, test } from 'vitest'
import { azurite } from '../support/azure.js'
import { accessTo, runCli } from '../support/cli.js'
import { echoes, openEcho } from '../support/echo.js'
import { checked, keepSecret } from '../support/operator.js'
import { openTap } from '../support/tap.js'

const signature = 'c2VjcmV0c2lnbmF0dXJl'
keepSecret(signature)
const env = { AZURE_STORAGE_SAS_TOKEN: `?sv=2021-08-06&sr=c&sig=${signature}%3D` }

test.each(echoes)('a SAS that comes back in %s is not shown', async (_name, answer) => {
  const at = ['--container', 'certs', '--endpoint', await openEcho(answer)]
  for (const command of [['ls'], ['show', 'a.example']]) {
    const [name, ...rest] = command as [string, ...string[]]
    const { code, stderr } = checked(await runCli([name, ...at, ...rest], { env }))
    expect({ command, code }).toEqual({ command, code: 1 })
    expect(stderr).toMatch(/^acme-cert-cache: [^\n]+\n$/)
  }
})

const plain = 'text/plain'
test.each([
  [
    'no such resource',
    { status: 404, type: plain, body: '' },
    /container certs .*status 404\)\. Check --endpoint/,
  ],
  ['a busy service', { status: 503, type: plain, body: '' }, /status 503\)\. Try again; if it stays so/],
  [
    'a page',
    { status: 200, type: 'text/html', body: '<html><p>hello</p></html>' },
    /is not one of Azure Blob Storage\. Check --endpoint/,
  ],
] as const)('%s: what to do is said', async (_name, answer, told) => {
  const at = ['--container', 'certs', '--endpoint', await openEcho(() => answer)]
  const { code, stderr } = checked(await runCli(['ls', ...at], { env }))
  expect(code).toBe(1)
  expect(stderr).toMatch(/^acme-cert-cache: [^\n]+\n$/)
  expect(stderr).toMatch(told)
})

test('an endpoint without the account, a container that is not there, a service that does not answer', async () => {
  const { origin } = new URL(azurite().endpoint)
  const { env } = accessTo('certs')
  const ls = async (endpoint: string) =>
    checked(await runCli(['ls', '--container', 'certs', '--endpoint', endpoint], { env })).stderr
  expect(await ls(origin)).toMatch(
    /in container certs \(.* Check --endpoint: .*an emulator’s with the account/,
  )
  const missing = await ls(azurite().endpoint)
  expect(missing).toContain('Create the container with az storage container create')
  expect(missing).not.toContain('connect()')
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  tap.fault(() => 'hang')
  expect(await ls(tap.endpoint)).toMatch(
    /took longer than 15000 ms to .*\. It may be overloaded or unreachable/,
  )
})
