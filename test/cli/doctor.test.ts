import { ContainerSASPermissions } from '@azure/storage-blob'
import { expect, onTestFinished, test } from 'vitest'
import { exportKey } from '../../src/certificates/private-key.js'
import { CertManager } from '../../src/index.js'
import { serviceClient } from '../support/azure.js'
import { makeKey } from '../support/certificates.js'
import { accessTo } from '../support/cli.js'
import { checked } from '../support/operator.js'
import { startMachine } from '../support/tls.js'
import { post, registered } from '../testing/acme-user.js'
import { findings, nameServer, testCa } from './doctor-support.js'
import { openOperator, runInProcess } from './in-process.js'

const statuses = (found: ReturnType<typeof findings>) =>
  Object.fromEntries(Object.entries(found).map(([check, { status }]) => [check, status]))

test('doctor reports ok for every check of a working fleet, and leaves no blob behind', async () => {
  const { store, run, keys } = await openOperator()
  const { ca, flags } = await testCa()
  const { directoryUrl, endpointCertificate } = ca
  const manager = new CertManager({
    cache: store,
    hostPolicy: ['a.example'],
    acme: { termsOfServiceAgreed: true, directoryUrl, ca: endpointCertificate },
  })
  const machine = await startMachine(manager, { http: true })
  onTestFinished(machine.close)
  ca.httpPort = machine.httpPort as number
  await manager.ensure(['a.example'])
  const before = await keys()
  const dns = await nameServer({ 'a.example': { A: ['127.0.0.1'], CAA: [] }, example: {} })
  const args = ['a.example', ...flags, ...dns, '--http-port', String(machine.httpPort)]
  const { code, stdout, stderr } = await run('doctor', '--json', ...args)
  const found = findings(stdout)
  expect(statuses(found)).toEqual({
    clock: 'ok',
    container: 'ok',
    write: 'ok',
    overwrite: 'ok',
    read: 'ok',
    private: 'ok',
    lock: 'ok',
    delete: 'ok',
    list: 'ok',
    CA: 'ok',
    account: 'ok',
    'DNS a.example': 'ok',
    'CAA a.example': 'ok',
    [`http 127.0.0.1:${machine.httpPort}`]: 'ok',
  })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(found.account?.text).toMatch(/^https:\/\/127\.0\.0\.1:.* with the key ".*acme_account\+key"$/)
  expect(await keys()).toEqual(before)
  expect(ca.counts).toMatchObject({ accounts: 1, orders: 1 })

  const shown = await run('doctor', ...flags)
  expect(shown.stdout).toMatch(/^ok {7}clock: within /)
  expect(shown.stdout.split('\n')).toHaveLength(12)
})

test('doctor skips the checks that need the container if the container cannot be used', async () => {
  const { flags } = await testCa()
  const { AZURE_STORAGE_ACCOUNT } = accessTo('is-not-there').env
  const wrongKey = { AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY: Buffer.from('wrong').toString('base64') }
  const { env } = accessTo('is-not-there')
  for (const [access, credentials, clock, message] of [
    [accessTo('is-not-there').flags, env, 'ok', /Create the container/],
    [accessTo('is-not-there').flags, wrongKey, 'ok', /account name and key/],
    [accessTo('certs', 'http://127.0.0.1:1/fleet').flags, env, 'failed', /firewall blocks/],
  ] as const) {
    const { code, stdout, stderr } = checked(
      await runInProcess(['doctor', '--json', ...access, ...flags], { env: credentials }),
    )
    const found = findings(stdout)
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(statuses(found)).toEqual({ clock, container: 'failed', CA: 'ok', account: 'failed' })
    expect(found.container?.text).toMatch(message)
  }
})

test('doctor names each missing permission', async () => {
  const { client, connect, keys } = await openOperator()
  const { flags } = await testCa()
  const expiresOn = new Date(Date.now() + 600_000)
  const doctor = async (permissions: string) => {
    const url = await client.generateSasUrl({
      permissions: ContainerSASPermissions.parse(permissions),
      expiresOn,
    })
    const env = { AZURE_STORAGE_SAS_TOKEN: new URL(url).search }
    const result = await runInProcess(
      ['doctor', '--json', ...accessTo(connect.containerName).flags, ...flags],
      {
        env,
      },
    )
    const { code, stdout } = checked(result)
    return { code, found: findings(stdout) }
  }
  const least = await doctor('racwd')
  expect(least.code).toBe(0)
  expect(statuses(least.found)).toMatchObject({ write: 'ok', lock: 'ok', delete: 'ok', list: 'warning' })
  const reader = await doctor('rl')
  expect(reader.code).toBe(1)
  expect(statuses(reader.found)).toMatchObject({ container: 'ok', write: 'failed', list: 'ok', CA: 'ok' })
  expect(reader.found.write?.text).toContain('read, add, create, write and delete')
  const keeper = await doctor('racwl')
  expect(keeper.code).toBe(1)
  expect(statuses(keeper.found)).toMatchObject({ write: 'ok', read: 'ok', delete: 'failed' })
  for (const key of await keys()) await client.deleteBlob(key).catch(() => undefined)
})

test('doctor fails for a container with public read access', async () => {
  const { flags } = await testCa()
  const containerName = `public-${process.pid}-${Date.now()}`
  await serviceClient().createContainer(containerName, { access: 'blob' })
  const access = accessTo(containerName)
  const run = await runInProcess(['doctor', '--json', ...access.flags, ...flags], { env: access.env })
  const found = findings(checked(run).stdout)
  expect(run.code).toBe(1)
  expect(found.private).toMatchObject({ status: 'failed', text: expect.stringContaining('anyone can read') })
})

test('doctor fails if the clock of this machine is an hour ahead', async () => {
  const { runWith } = await openOperator()
  const { flags } = await testCa()
  const { code, stdout } = await runWith({ clock: (now) => now + 3_600_000 }, 'doctor', '--json', ...flags)
  const text = expect.stringMatching(/^3\d{3} s ahead of the service's clock\. Synchronise/)
  expect(findings(stdout).clock).toMatchObject({ status: 'failed', text })
  expect(code).toBe(1)
})

test('doctor reports a CA that is unreachable or untrusted, and an account that is missing, unknown or unreadable', async () => {
  const { store, run } = await openOperator()
  const { ca, flags } = await testCa()
  const gone = ['--directory', 'https://127.0.0.1:1/directory']
  const unreachable = findings((await run('doctor', '--json', ...gone)).stdout)
  expect(unreachable.CA).toMatchObject({
    status: 'failed',
    text: expect.stringMatching(/ECONNREFUSED.*Check --directory/),
  })
  expect(unreachable.account).toBeUndefined()
  const untrusted = findings((await run('doctor', '--json', '--directory', ca.directoryUrl)).stdout)
  expect(untrusted.CA).toMatchObject({ status: 'failed', text: expect.stringMatching(/SELF_SIGNED.*--ca/) })

  const account = async () =>
    findings((await run('doctor', '--json', ...flags, '--key-prefix', '')).stdout).account
  expect(await account()).toMatchObject({ status: 'ok', text: expect.stringContaining('none yet') })
  await store.put('acme_account.key', Buffer.from(exportKey(makeKey())))
  expect(await account()).toMatchObject({
    status: 'warning',
    text: expect.stringContaining('no account for the key "acme_account.key"'),
  })
  await store.put('acme_account+key', Buffer.from('rubbish'))
  expect(await account()).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('not a private key'),
  })
  expect(ca.counts.accounts).toBe(0)
})

test('doctor fails if the account was deactivated', async () => {
  const { store, run } = await openOperator()
  const { ca, flags } = await testCa()
  const accountKey = exportKey(makeKey())
  const user = await registered(ca, { accountKey })
  await post(user, user.client.getAccountUrl(), { status: 'deactivated' })
  await store.put('acme_account+key', Buffer.from(accountKey))
  const { code, stdout } = await run('doctor', '--json', ...flags, '--key-prefix', '')
  expect(findings(stdout).account).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('rejects the account with the key "acme_account+key"'),
  })
  expect(code).toBe(1)
})
