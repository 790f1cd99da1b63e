import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ContainerSASPermissions } from '@azure/storage-blob'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { exportKey } from '../../src/certificates/private-key.js'
import { CertManager } from '../../src/index.js'
import { selfSignedCertificate, TestCa } from '../../src/testing/index.js'
import { serviceClient } from '../support/azure.js'
import { makeKey } from '../support/certificates.js'
import { accessTo } from '../support/cli.js'
import { type DnsRecords, openNameServer } from '../support/dns.js'
import { checked } from '../support/operator.js'
import { listen, startMachine } from '../support/tls.js'
import { openOperator, runInProcess } from './in-process.js'

const closers: (() => Promise<unknown>)[] = []
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-doctor-'))
  closers.push(() => rm(folder, { recursive: true }))
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Finding {
  check: string
  status: string
  text: string
}

const findings = (stdout: string): Record<string, Finding> =>
  Object.fromEntries(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Finding)
      .map((finding) => [finding.check, finding]),
  )

const statuses = (found: Record<string, Finding>) =>
  Object.fromEntries(Object.entries(found).map(([check, { status }]) => [check, status]))

async function caFlags(directoryUrl: string, endpointCertificate: string) {
  const file = join(folder, 'ca.pem')
  await writeFile(file, endpointCertificate)
  return ['--directory', directoryUrl, '--ca', file]
}

async function testCa() {
  const ca = await TestCa.start({ httpPort: 1, challengeTypes: ['http-01'] })
  closers.push(() => ca.close())
  return { ca, flags: await caFlags(ca.directoryUrl, ca.endpointCertificate) }
}

async function nameServer(names: Record<string, DnsRecords>) {
  const server = await openNameServer(names)
  closers.push(server.close)
  return ['--dns', server.address]
}

/** A CA that has a directory and nothing else. */
async function directoryOnly(meta: object) {
  const url = 'https://ca.invalid/'
  const { certificate, privateKey } = await selfSignedCertificate()
  const server = createHttpsServer({ cert: certificate, key: privateKey }, (_req, res) =>
    res
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ newNonce: url, newAccount: url, newOrder: url, meta })),
  )
  const port = await listen(server)
  closers.push(async () => server.closeAllConnections() ?? server.close())
  return caFlags(`https://127.0.0.1:${port}/directory`, certificate)
}

test('finds a working fleet in order, and leaves nothing behind', async () => {
  const { store, run, keys } = await openOperator()
  const { ca, flags } = await testCa()
  const { directoryUrl, endpointCertificate } = ca
  const manager = new CertManager({
    cache: store,
    hostPolicy: ['a.example'],
    acme: { termsOfServiceAgreed: true, directoryUrl, ca: endpointCertificate },
  })
  const machine = await startMachine(manager, { http: true })
  closers.push(machine.close)
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
  expect(found.account?.text).toMatch(/^https:\/\/127\.0\.0\.1:.*acme_account\+key$/)
  expect(await keys()).toEqual(before)
  expect(ca.counts).toMatchObject({ accounts: 1, orders: 1 })

  const shown = await run('doctor', ...flags)
  expect(shown.stdout).toMatch(/^ok {7}clock: within /)
  expect(shown.stdout.split('\n')).toHaveLength(11)
})

test('skips the checks that need the container where it cannot be used', async () => {
  const { flags } = await testCa()
  const { AZURE_STORAGE_ACCOUNT } = accessTo('is-not-there').env
  const wrongKey = { AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY: Buffer.from('wrong').toString('base64') }
  const { env } = accessTo('is-not-there')
  for (const [access, credentials, clock, message] of [
    [accessTo('is-not-there').flags, env, 'ok', /Create the container/],
    [accessTo('is-not-there').flags, wrongKey, 'ok', /account name and key/],
    [accessTo('certs', 'http://127.0.0.1:1/fleet').flags, env, 'failed', /firewall blocks the way/],
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

test('names each missing permission', async () => {
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

test('fails for a container that anybody can read', async () => {
  const { flags } = await testCa()
  const containerName = `public-${process.pid}-${Date.now()}`
  await serviceClient().createContainer(containerName, { access: 'blob' })
  const access = accessTo(containerName)
  const run = await runInProcess(['doctor', '--json', ...access.flags, ...flags], { env: access.env })
  const found = findings(checked(run).stdout)
  expect(run.code).toBe(1)
  expect(found.private).toMatchObject({ status: 'failed', text: expect.stringContaining('anybody can read') })
})

test('fails where this machine’s clock is an hour ahead', async () => {
  const { runWith } = await openOperator()
  const { flags } = await testCa()
  const { code, stdout } = await runWith({ clock: (now) => now + 3_600_000 }, 'doctor', '--json', ...flags)
  const text = expect.stringMatching(/^3\d{3} s ahead of the service’s: synchronise/)
  expect(findings(stdout).clock).toMatchObject({ status: 'failed', text })
  expect(code).toBe(1)
})

test('reports a CA that is unreachable or untrusted, and an account that is missing, unknown or unreadable', async () => {
  const { store, run } = await openOperator()
  const { ca, flags } = await testCa()
  const gone = ['--directory', 'https://127.0.0.1:1/directory']
  const unreachable = findings((await run('doctor', '--json', ...gone)).stdout)
  expect(unreachable.CA).toMatchObject({
    status: 'failed',
    text: expect.stringMatching(/ECONNREFUSED.*check --directory/),
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
    text: expect.stringContaining('no account for acme_account.key'),
  })
  await store.put('acme_account+key', Buffer.from('rubbish'))
  expect(await account()).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('not a private key'),
  })
  expect(ca.counts.accounts).toBe(0)
})

test('reports the DNS and CAA records that a CA would find', async () => {
  const { run } = await openOperator()
  const ca = await directoryOnly({ caaIdentities: ['ca.example'] })
  const dns = await nameServer({
    'no-address.example': {},
    'other.example': { A: ['127.0.0.1'], CAA: ['elsewhere.example'] },
    'sub.ours.example': { A: ['127.0.0.1'] },
    'ours.example': { CAA: ['elsewhere.example', 'ca.example; validationmethods=http-01'] },
    'nobody.example': { A: ['127.0.0.1'], CAA: [';'] },
    'broken.example': { failing: true },
    example: {},
  })
  const doctor = async (host: string, flags: string[] = ca) =>
    findings((await run('doctor', '--json', host, ...flags, ...dns, '--http-port', '1')).stdout)
  for (const [host, status, caa, address] of [
    ['no-address.example', 'ok', /every CA may issue/, /add an A or AAAA record/],
    ['missing.example', 'ok', /every CA may issue/, /add an A or AAAA record/],
    [
      'other.example',
      'failed',
      /allows elsewhere\.example: add a record 0 issue "ca\.example"/,
      /127\.0\.0\.1/,
    ],
    ['sub.ours.example', 'ok', /ours\.example allows elsewhere\.example, ca\.example$/, /127\.0\.0\.1/],
    ['nobody.example', 'failed', /allows no CA/, /127\.0\.0\.1/],
    ['broken.example', 'failed', /could not be read \(ESERVFAIL\)/, /could not be asked/],
  ] as const) {
    const found = await doctor(host)
    expect(found[`CAA ${host}`]).toMatchObject({ status, text: expect.stringMatching(caa) })
    expect(found[`DNS ${host}`]?.text).toMatch(address)
  }
  const silent = await doctor('other.example', await directoryOnly({}))
  expect(silent['CAA other.example']).toMatchObject({ status: 'warning' })
})

test('reports what answers at port 80: another server, a redirect, nobody', async () => {
  const { run, keys } = await openOperator()
  const { flags } = await testCa()
  const dns = await nameServer({ 'a.example': { A: ['127.0.0.1'], AAAA: ['::1'] }, example: {} })
  let elsewhere = false
  const server = createHttpServer((_req, res) =>
    elsewhere ? res.writeHead(301, { location: 'https://a.example/' }).end() : res.writeHead(404).end(),
  )
  const port = await listen(server)
  const doctor = async () => {
    const { code, stdout } = await run(
      'doctor',
      '--json',
      'a.example',
      ...flags,
      ...dns,
      '--http-port',
      String(port),
    )
    const found = findings(stdout)
    expect(Object.keys(found)).toContain(`http [::1]:${port}`)
    expect(code).toBe(1)
    return found[`http 127.0.0.1:${port}`]
  }
  expect(await doctor()).toMatchObject({ status: 'failed', text: expect.stringContaining('status 404') })
  elsewhere = true
  expect(await doctor()).toMatchObject({
    status: 'warning',
    text: expect.stringContaining('https://a.example/'),
  })
  server.closeAllConnections()
  server.close()
  expect(await doctor()).toMatchObject({ status: 'failed', text: expect.stringContaining('ECONNREFUSED') })
  expect(await keys()).toEqual([])
})

test('reads no more than a challenge answer’s length from a server that never ends its answer', async () => {
  const { run } = await openOperator()
  const { flags } = await testCa()
  const dns = await nameServer({ 'a.example': { A: ['127.0.0.1'] }, example: {} })
  const server = createHttpServer((_req, res) => void res.writeHead(200).write('x'.repeat(10_000)))
  const port = await listen(server)
  closers.push(async () => server.closeAllConnections() ?? server.close())
  const { stdout } = await run('doctor', '--json', 'a.example', ...flags, ...dns, '--http-port', String(port))
  expect(findings(stdout)[`http 127.0.0.1:${port}`]).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('something else answered, with status 200'),
  })
})
