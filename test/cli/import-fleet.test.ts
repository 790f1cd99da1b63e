import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { exportKey } from '../../src/certificates/private-key.js'
import { importCertificate } from '../../src/cli/import/write.js'
import { AzureBlobCertCache, CertManager } from '../../src/index.js'
import { MemoryCertCache } from '../../src/testing/index.js'
import { makeBundle, makeKey } from '../support/certificates.js'
import { keepSecret } from '../support/operator.js'
import { openProxy } from '../support/proxy.js'
import { startMachine } from '../support/tls.js'
import { testCa } from './doctor-support.js'
import { openOperator } from './in-process.js'

const day = 86_400_000

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-import-fleet-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** Writes an autocert folder with a certificate of a.example that was issued a day ago. */
async function writeSource() {
  const { data } = await makeBundle({ host: 'a.example', notBefore: new Date(Date.now() - day) })
  keepSecret(Buffer.from(data).toString().split('-----BEGIN CERT')[0] as string)
  await writeFile(join(folder, 'a.example'), data)
  return Buffer.from(data)
}

/** An operator, and a second machine with a store of its own on the same container. */
async function openFleet() {
  const operator = await openOperator()
  const peer = await AzureBlobCertCache.connect({ ...operator.connect, timeoutMs: 60_000 })
  const importFolder = (env = {}) =>
    operator.runWith({ endpoint: 'http://store.invalid/fleet', env }, 'import', '--autocert', folder, '--yes')
  return { ...operator, peer, importFolder }
}

/** Calls `change` once, before the first request of the command that acquires the lock. */
async function beforeLock(key: string, change: () => Promise<unknown>) {
  let isChanged = false
  const HTTP_PROXY = await openProxy(async (method, path) => {
    if (isChanged || method !== 'PUT' || !path.endsWith(`/${key}+lock`)) return
    isChanged = true
    await change()
  })
  return { HTTP_PROXY }
}

test('import keeps the certificate that a server orders between the first read and the lock', async () => {
  const { peer, importFolder, keys } = await openFleet()
  await writeSource()
  const { ca } = await testCa()
  const manager = new CertManager({
    cache: peer,
    hostPolicy: ['a.example'],
    acme: {
      termsOfServiceAgreed: true,
      directoryUrl: ca.directoryUrl,
      ca: ca.endpointCertificate,
      keyPrefix: '',
    },
  })
  const machine = await startMachine(manager, { http: true })
  onTestFinished(machine.close)
  ca.httpPort = machine.httpPort as number
  const env = await beforeLock('a.example', () => manager.ensure(['a.example']))
  const { code, stdout, stderr } = await importFolder(env)
  expect(stdout).toMatch(
    /^a\.example: kept a\.example \(the stored certificate is as new or newer, expires [^\n]*\n$/,
  )
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(/^0 blobs written to container \S+, 1 kept, 0 refused$/m),
  })
  expect(ca.counts.orders).toBe(1)
  const stored = Buffer.from((await peer.get('a.example')) as Uint8Array)
  expect(new X509Certificate(stored).issuer).toContain('ACME test intermediate')
  expect((await keys()).filter((key) => key.endsWith('+lock'))).toEqual([])
})

test('import writes nothing while another machine holds the lock, and writes when it is run again', async () => {
  const { peer, importFolder, keys, store } = await openFleet()
  const data = await writeSource()
  const env = await beforeLock('nothing', async () => undefined)
  const lock = await peer.tryLock('a.example')
  const refused = await importFolder(env)
  expect(refused.stdout).toBe(
    'a.example: refused a.example: another machine holds the lock to order or renew it\n',
  )
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(
    /^acme-cert-cache: cannot write 1 blob: another machine holds the lock\. Run import again\.$/m,
  )
  expect(await keys()).toEqual(['a.example+lock'])
  await lock?.release()
  expect(await importFolder(env)).toMatchObject({ code: 0 })
  expect(await keys()).toEqual(['a.example'])
  expect(Buffer.from((await store.get('a.example')) as Uint8Array)).toEqual(data)
})

test('import writes the other certificates while a lock is held', async () => {
  const { peer, run, keys } = await openFleet()
  await writeSource()
  await writeFile(join(folder, 'b.example'), (await makeBundle({ host: 'b.example' })).data)
  const lock = await peer.tryLock('a.example')
  const { code, stdout } = await run('import', '--autocert', folder, '--yes')
  expect({ code, lines: stdout.trimEnd().split('\n') }).toEqual({
    code: 1,
    lines: [expect.stringContaining('refused a.example'), expect.stringContaining('written b.example')],
  })
  await lock?.release()
  expect(await keys()).toEqual(['b.example'])
})

test('import keeps the account key that a server creates between the first read and the lock', async () => {
  const { peer, run, importFolder, text } = await openFleet()
  await writeFile(join(folder, 'acme_account+key'), exportKey(makeKey()))
  const env = await beforeLock('acme_account+key', () =>
    peer.put('acme_account+key', Buffer.from('the key of a server')),
  )
  const { code, stdout } = await importFolder(env)
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: 'acme_account+key: kept acme_account+key (the container has an account key)\n',
  })
  expect(await text('acme_account+key')).toBe('the key of a server')
  expect(await run('import', '--autocert', folder, '--dry-run')).toMatchObject({ code: 0 })
})

test('import --dry-run acquires no lock', async () => {
  const { peer, run } = await openFleet()
  await writeSource()
  const lock = await peer.tryLock('a.example')
  const { code, stdout } = await run('import', '--autocert', folder, '--dry-run')
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('would write a.example (') })
  await lock?.release()
})

test('a certificate whose lock is lost before it is written is refused, like one that is locked', async () => {
  const memory = new MemoryCertCache()
  const store = {
    get: (key: string) => memory.get(key),
    put: (key: string, data: Uint8Array) => memory.put(key, data),
    delete: (key: string) => memory.delete(key),
    tryLock: async () => ({ signal: AbortSignal.abort(new Error('lost')), release: async () => {} }),
  }
  const destination = { ca: '', store, isDryRun: false, objection: async () => undefined }
  const pem = (await writeSource()).toString()
  expect(await importCertificate(pem, destination)).toEqual([
    { verdict: 'locked', key: 'a.example', note: expect.stringContaining('another machine holds the lock') },
  ])
  expect(await memory.get('a.example')).toBeUndefined()
})
