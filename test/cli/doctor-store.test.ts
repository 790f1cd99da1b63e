import { ContainerSASPermissions } from '@azure/storage-blob'
import { expect, test } from 'vitest'
import { serviceClient } from '../support/azure.js'
import { accessTo } from '../support/cli.js'
import { checked } from '../support/operator.js'
import { openProxy } from '../support/proxy.js'
import { openOperator, runInProcess } from './in-process.js'

// Nothing listens on this port.
const ca = ['--directory', 'https://127.0.0.1:1/directory']

type Client = Awaited<ReturnType<typeof openOperator>>['client']

async function doctorWith(client: Client, permissions: string) {
  const url = await client.generateSasUrl({
    permissions: ContainerSASPermissions.parse(permissions),
    expiresOn: new Date(Date.now() + 600_000),
  })
  const env = { AZURE_STORAGE_SAS_TOKEN: new URL(url).search }
  const { flags } = accessTo(client.containerName)
  const { stdout } = checked(await runInProcess(['doctor', ...flags, ...ca], { env }))
  return findings(stdout)
}

type Findings = Record<string, { status?: string; text?: string }>

const findings = (stdout: string): Findings =>
  Object.fromEntries(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => /^(\w+) +(.*?): (.*)$/.exec(line) ?? [])
      .map(([, status, check, text]) => [check, { status, text }]),
  )

const statuses = (found: Findings) =>
  Object.fromEntries(Object.entries(found).map(([check, { status }]) => [check, status]))

test('doctor checks each permission, even if others are missing', async () => {
  const { client, keys } = await openOperator()
  expect(statuses(await doctorWith(client, 'acwdl'))).toMatchObject({
    container: 'failed',
    private: 'ok',
    write: 'ok',
    lock: 'ok',
    delete: 'ok',
    list: 'ok',
  })
  expect(statuses(await doctorWith(client, 'r'))).toMatchObject({
    container: 'ok',
    private: 'ok',
    write: 'failed',
    lock: 'failed',
    delete: 'failed',
    list: 'warning',
  })
  expect(await keys()).toEqual([])
})

test('doctor detects public read access to a container even without write permission', async () => {
  const client = serviceClient().getContainerClient(`public-${process.pid}-${Date.now()}`)
  await client.create({ access: 'blob' })
  expect((await doctorWith(client, 'rl')).private).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('anyone can read'),
  })
})

test('doctor sends the requests of all checks through the proxy set in the environment', async () => {
  const { runWith } = await openOperator()
  const HTTP_PROXY = await openProxy(async () => undefined)
  const throughProxy = { endpoint: 'http://store.invalid/fleet', env: { HTTP_PROXY } }
  const { CA: _, ...store } = findings((await runWith(throughProxy, 'doctor', ...ca)).stdout)
  expect(Object.values(statuses(store))).toEqual(Array(9).fill('ok'))
})

test('ls does not list a blob that doctor could not delete, and clean removes it', async () => {
  const { client, run, runWith, json, keys } = await openOperator()
  const { delete: finding } = await doctorWith(client, 'racwl')
  const [leftover] = await keys()
  expect(leftover).toMatch(/^doctor-/)
  expect(finding).toMatchObject({
    status: 'failed',
    text: expect.stringContaining(`"${leftover}" remains until clean removes it`),
  })
  expect(await json('ls')).toEqual([])
  expect(await run('ls')).toMatchObject({ code: 0, stderr: '' })
  expect(await run('clean', '--yes')).toMatchObject({ code: 0, stdout: '' })
  // The lease would expire only after 30 s.
  await client.getBlobClient(`${leftover}+lock`).getBlobLeaseClient().breakLease(0)
  const later = await runWith({ clock: (now) => now + 2 * 3_600_000 }, 'clean', '--yes')
  expect(later).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`${leftover}  test blob of doctor`),
  })
  expect(await keys()).toEqual([])
})
