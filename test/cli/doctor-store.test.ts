import type { ChildProcess } from 'node:child_process'
import { ContainerSASPermissions } from '@azure/storage-blob'
import { expect, onTestFinished, test } from 'vitest'
import { azurite, serviceClient } from '../support/azure.js'
import { accessTo, runCli } from '../support/cli.js'
import { checked, makeOperator, statuses } from '../support/operator.js'
import { openProxy } from '../support/proxy.js'
import { openTap } from '../support/tap.js'

// No CA is asked.
const ca = ['--directory', 'https://127.0.0.1:1/directory']

type Client = Awaited<ReturnType<typeof makeOperator>>['client']

async function doctorWith(client: Client, permissions: string) {
  const url = await client.generateSasUrl({
    permissions: ContainerSASPermissions.parse(permissions),
    expiresOn: new Date(Date.now() + 600_000),
  })
  const env = { AZURE_STORAGE_SAS_TOKEN: new URL(url).search }
  const { stdout } = checked(
    await runCli(['doctor', ...accessTo(client.containerName).flags, ...ca], { env }),
  )
  return found(stdout)
}

/** The status of each check, and what was said of it. */
const found = (stdout: string): Record<string, { status?: string; text?: string }> =>
  Object.fromEntries(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => /^(\w+) +(.*?): (.*)$/.exec(line) ?? [])
      .map(([, status, check, text]) => [check, { status, text }]),
  )

test('permissions are tried whichever others there are', async () => {
  const { client, keys } = await makeOperator()
  const writer = await doctorWith(client, 'acwdl')
  expect(statuses(writer)).toMatchObject({
    container: 'failed',
    private: 'ok',
    write: 'ok',
    lock: 'ok',
    delete: 'ok',
    list: 'ok',
  })
  const reader = await doctorWith(client, 'r')
  expect(statuses(reader)).toMatchObject({
    container: 'ok',
    private: 'ok',
    write: 'failed',
    lock: 'failed',
    delete: 'failed',
    list: 'warning',
  })
  expect(await keys()).toEqual([])
})

test('whether anybody can read it is seen without the right to write', async () => {
  const client = serviceClient().getContainerClient(`public-${process.pid}-${Date.now()}`)
  await client.create({ access: 'blob' })
  expect((await doctorWith(client, 'rl')).private).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('anybody can read'),
  })
})

test('all checks go through the proxy of the environment', async () => {
  const { client } = await makeOperator()
  const HTTP_PROXY = await openProxy(async () => undefined)
  const { flags, env } = accessTo(client.containerName, 'http://store.invalid/fleet')
  const { stdout } = checked(await runCli(['doctor', ...flags, ...ca], { env: { ...env, HTTP_PROXY } }))
  const { CA: _, ...store } = found(stdout)
  expect(Object.values(statuses(store))).toEqual(Array(8).fill('ok'))
})

test('a slow store is a warning', async () => {
  const { client } = await makeOperator()
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  tap.fault((method, path) => {
    tap.slow(method === 'PUT' && /\/doctor-[^+]*$/.test(path) ? 1_100 : 0)
    return undefined
  })
  const { flags, env } = accessTo(client.containerName, tap.endpoint)
  const { stdout } = checked(await runCli(['doctor', ...flags, ...ca], { env }))
  expect(found(stdout).write).toMatchObject({
    status: 'warning',
    text: expect.stringMatching(/^a blob was written, \d{4,} ms: .* a region nearer/),
  })
})

test.each([
  ['Ctrl+C', 130, (child: ChildProcess) => child.kill('SIGINT')],
  ['the end of who reads its output', 0, (child: ChildProcess) => child.stdout?.destroy()],
] as const)('%s, while it writes, leaves nothing behind', async (_name, code, stop) => {
  const { client, keys } = await makeOperator()
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  const { flags, env } = accessTo(client.containerName, tap.endpoint)
  let child: ChildProcess | undefined
  tap.fault((method, path) => {
    const toStop = method === 'PUT' && path.includes('/doctor-') ? child : undefined
    // A busy process may see the answer before the signal.
    tap.slow(toStop ? 250 : 0)
    if (!toStop) return undefined
    stop(toStop)
    // Once: a second Ctrl+C waits for nothing.
    child = undefined
  })
  const onStart = (started: ChildProcess) => {
    child = started
  }
  expect(await runCli(['doctor', ...flags, ...ca], { env, onStart })).toMatchObject({ code, stderr: '' })
  expect(tap.take().at(-1)).toMatch(/^DELETE /)
  expect(await keys()).toEqual([])
})

test('what doctor may not delete is no certificate to ls, and goes with clean', async () => {
  const { client, run, runAt, json, keys } = await makeOperator()
  const { delete: finding } = await doctorWith(client, 'racwl')
  const [scratch] = await keys()
  expect(scratch).toMatch(/^doctor-/)
  expect(finding).toMatchObject({
    status: 'failed',
    text: expect.stringContaining(`${scratch} stays until clean removes it`),
  })
  expect(await json('ls')).toEqual([])
  expect(await run('ls')).toMatchObject({ code: 0, stderr: '' })
  expect(await run('clean', '--yes')).toMatchObject({ code: 0, stdout: '' })
  // It would end in half a minute.
  await client.getBlobClient(`${scratch}+lock`).getBlobLeaseClient().breakLease(0)
  const later = await runAt(2 * 3_600_000, 'clean', '--yes')
  expect(later).toMatchObject({ code: 0, stdout: expect.stringContaining(`${scratch}  of doctor`) })
  expect(await keys()).toEqual([])
})
