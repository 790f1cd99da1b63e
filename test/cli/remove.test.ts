import { expect, onTestFinished, test } from 'vitest'
import { caPrefix } from '../../src/certificates/storage-layout.js'
import { azurite } from '../support/azure.js'
import { makeBundle } from '../support/certificates.js'
import { openProxy } from '../support/proxy.js'
import { openTap } from '../support/tap.js'
import { openOperator } from './in-process.js'
import { oneLine } from './one-line.js'

const day = 86_400_000
const value = Buffer.from('x')
const staging = 'https://acme-staging-v02.api.letsencrypt.org/directory'
const failure = Buffer.from(
  JSON.stringify({ failures: 2, retryAt: Date.now() + day, message: 'the CA said no' }),
)

const expiredBundle = (host: string) =>
  makeBundle({ host, notBefore: new Date(Date.now() - 9 * day), notAfter: new Date(Date.now() - day) })

/** An operator whose requests pass a proxy that refuses to delete one blob. */
async function openWithRefusedDelete(
  key: string,
  refusal = { status: 403, code: 'AuthorizationPermissionMismatch' },
) {
  const operator = await openOperator()
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  tap.fault((method, path) => (method === 'DELETE' && path.endsWith(`/${key}`) ? refusal : undefined))
  const run = (command: string, ...args: string[]) =>
    operator.runWith({ endpoint: tap.endpoint }, command, ...args)
  return { ...operator, run }
}

test('rm removes one certificate and its records, with --yes', async () => {
  const { store, run, keys } = await openOperator()
  const { data } = await makeBundle({ host: 'a.example' })
  const stored = ['a.example', 'a.example+failure', 'a.example+renewal', 'a.example+rsa', 'b.example']
  for (const key of stored) await store.put(key, data)
  expect(await run('rm', 'A.Example.')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('Pass --yes'),
  })
  expect(await keys()).toEqual(stored)
  expect(await run('rm', 'A.Example.', '--yes')).toMatchObject({
    code: 0,
    stdout: 'a.example\na.example+failure\na.example+renewal\n',
    stderr: 'removed 3 blobs\n',
  })
  expect(await keys()).toEqual(['a.example+rsa', 'b.example'])
  expect(await run('rm', 'a.example', '--rsa', '--yes')).toMatchObject({ code: 0 })
  expect(await keys()).toEqual(['b.example'])
})

test('rm stops at the first blob that it cannot delete', async () => {
  const { store, run, keys } = await openWithRefusedDelete('a.example+failure')
  const stored = ['a.example', 'a.example+failure', 'a.example+renewal']
  for (const key of stored) await store.put(key, value)
  const { code, stderr } = await run('rm', 'a.example', '--yes')
  expect({ code, stderr }).toEqual({ code: 1, stderr: oneLine(/delete .*a\.example\+failure/) })
  expect(await keys()).toEqual(['a.example+failure', 'a.example+renewal'])
})

test('clean removes expired certificates, and nothing else', async () => {
  const { client, store, run, keys } = await openOperator()
  const [expired, valid] = await Promise.all([
    expiredBundle('old.example'),
    makeBundle({ host: 'a.example' }),
  ])
  const stored: [string, Uint8Array][] = [
    ['a.example', valid.data],
    ['a.example+token', valid.data],
    ['acme_account+key', value],
    ['old.example', expired.data],
    ['old.example+failure', failure],
    ['other+blob', value],
    ['rubbish.example', value],
    ['token+http-01', value],
  ]
  for (const [key, data] of stored) await store.put(key, data)
  // This lock is not stale yet.
  await client.uploadBlockBlob('b.example+lock', '', 0)
  const before = await keys()
  const doomed = /^old\.example {2}certificate, expired \d{4}-\d\d-\d\d \d\d:\d\d\n$/
  const dry = await run('clean', '--dry-run')
  expect(dry).toMatchObject({ code: 0, stdout: expect.stringMatching(doomed) })
  expect(await run('clean')).toMatchObject({ code: 2, stdout: dry.stdout })
  expect(await keys()).toEqual(before)
  expect(await run('clean', '--yes')).toMatchObject({
    code: 0,
    stdout: dry.stdout,
    stderr: 'removed 1 blob\n',
  })
  expect(await keys()).toEqual(before.filter((key) => key !== 'old.example'))
  expect(await run('clean')).toMatchObject({ code: 0, stdout: '', stderr: 'nothing to remove\n' })
})

test('clean --directory removes blobs of that CA alone', async () => {
  const { store, run, keys } = await openOperator()
  const { data } = await expiredBundle('a.example')
  const key = `${caPrefix(staging)}a.example`
  await store.put('a.example', data)
  await store.put(key, data)
  expect(await run('clean', '--yes', '--directory', staging)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(new RegExp(`^${key}  certificate`)),
    stderr: 'removed 1 blob\n',
  })
  expect(await keys()).toEqual(['a.example'])
})

test('clean --blob-prefix removes expired certificates and locks under that prefix', async () => {
  const { client, run, keys } = await openOperator()
  const { data } = await expiredBundle('a.example')
  for (const name of ['tls/a.example', 'a.example']) await client.uploadBlockBlob(name, data, data.byteLength)
  expect(await run('clean', '--yes', '--blob-prefix', 'tls/')).toMatchObject({ code: 0 })
  expect(await keys()).toEqual(['a.example'])
})

test('clean removes stale challenge answers, and locks without a holder', async () => {
  const { client, store, runWith, keys } = await openOperator()
  for (const key of ['a.example+token', 'token+http-01', 'acme_account+key']) await store.put(key, value)
  await client.uploadBlockBlob('left.example+lock', '', 0)
  const lock = await store.tryLock('held.example')
  const cleanAfter = (ms: number) => runWith({ clock: (now) => now + ms }, 'clean', '--yes')
  const twoMinutes = await cleanAfter(120_000)
  expect(twoMinutes.stdout).toMatch(/^left\.example\+lock {2}lock without a holder, written [^\n]*\n$/)
  const twoDays = await cleanAfter(2 * day)
  expect(twoDays.stdout).toMatch(
    /^a\.example\+token {2}tls-alpn-01 challenge answer.*\ntoken\+http-01 {2}http-01 challenge answer.*\n$/,
  )
  expect(twoDays.stderr).toBe('removed 2 blobs\n')
  expect(await keys()).toEqual(['acme_account+key', 'held.example+lock'])
  await lock?.release()
})

/** Makes a change while the command waits for the operator's answer, which is yes. */
const whileAsking = (change: () => Promise<unknown>) => ({
  columns: 200,
  answer: async () => {
    await change()
    return 'y\n'
  },
})

test('clean keeps a certificate that was renewed after it was listed', async () => {
  const { store, runWith, keys } = await openOperator()
  const renewed = await makeBundle({ host: 'a.example' })
  for (const host of ['a.example', 'b.example']) await store.put(host, (await expiredBundle(host)).data)
  const terminal = whileAsking(() => store.put('a.example', renewed.data))
  const { code, stdout, stderr } = await runWith(terminal, 'clean')
  expect({ code, listed: stdout.trimEnd().split('\n').length }).toEqual({ code: 0, listed: 2 })
  expect(stderr).toMatch(
    /Remove 2 blobs from .*skipped a\.example: a server uses it again\nremoved 1 blob\n$/s,
  )
  expect(await keys()).toEqual(['a.example'])
  expect(await store.get('a.example')).toEqual(Buffer.from(renewed.data))
})

test('clean keeps a lock that a machine acquired after it was listed', async () => {
  const { client, store, runWith, keys } = await openOperator()
  await client.uploadBlockBlob('a.example+lock', '', 0)
  let lock: Awaited<ReturnType<typeof store.tryLock>>
  const terminal = whileAsking(async () => {
    lock = await store.tryLock('a.example')
  })
  const { code, stderr } = await runWith({ ...terminal, clock: (now) => now + 120_000 }, 'clean')
  expect(code).toBe(0)
  expect(stderr).toContain('skipped a.example+lock: a server uses it again\nremoved 0 blobs\n')
  expect(await keys()).toEqual(['a.example+lock'])
  await lock?.release()
})

test('clean keeps a challenge answer that was written again after it was listed', async () => {
  const { client, store, runWith, keys } = await openOperator()
  const key = 'token+http-01'
  const write = async () => {
    await store.put(key, value)
    return (await client.getBlobClient(key).getProperties()).lastModified?.getTime() ?? 0
  }
  const first = await write()
  // The service reports times in whole seconds.
  const terminal = whileAsking(() => expect.poll(write).toBeGreaterThan(first))
  const { code, stderr } = await runWith({ ...terminal, clock: () => first + day + 500 }, 'clean')
  expect(code).toBe(0)
  expect(stderr).toContain(`skipped ${key}: a server uses it again\nremoved 0 blobs\n`)
  expect(await keys()).toEqual([key])
})

test('clean keeps a certificate that is renewed between the second read and the removal', async () => {
  const { store, runWith } = await openOperator()
  const renewed = await makeBundle({ host: 'a.example' })
  await store.put('a.example', (await expiredBundle('a.example')).data)
  const HTTP_PROXY = await openProxy(async (method) => {
    if (method === 'DELETE') await store.put('a.example', renewed.data)
  })
  const throughProxy = { endpoint: 'http://store.invalid/fleet', env: { HTTP_PROXY } }
  const { code, stderr } = await runWith(throughProxy, 'clean', '--yes')
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: 'skipped a.example: a server uses it again\nremoved 0 blobs\n',
  })
  expect(await store.get('a.example')).toEqual(Buffer.from(renewed.data))
})

test('clean keeps a lock that a machine acquires between the second read and the removal', async () => {
  const { client, store, runWith, keys } = await openOperator()
  await client.uploadBlockBlob('a.example+lock', '', 0)
  let lock: Awaited<ReturnType<typeof store.tryLock>>
  const HTTP_PROXY = await openProxy(async (method) => {
    if (method === 'DELETE') lock = await store.tryLock('a.example')
  })
  const throughProxy = { endpoint: 'http://store.invalid/fleet', env: { HTTP_PROXY } }
  const { code, stderr } = await runWith({ ...throughProxy, clock: (now) => now + 120_000 }, 'clean', '--yes')
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: 'skipped a.example+lock: a client holds a lease on it\nremoved 0 blobs\n',
  })
  expect(await keys()).toEqual(['a.example+lock'])
  await lock?.release()
})

test.each([
  { status: 409, code: 'BlobImmutableDueToLegalHold', reason: 'a legal hold protects it' },
  { status: 409, code: 'BlobImmutableDueToPolicy', reason: 'an immutability policy protects it' },
  { status: 409, code: 'SnapshotsPresent', reason: 'it has snapshots' },
  { status: 409, code: 'Unexpected', reason: 'the service refuses to delete it (Unexpected)' },
  { status: 412, code: 'LeaseIdMissing', reason: 'a client holds a lease on it' },
  { status: 412, code: 'ConditionNotMet', reason: 'a server uses it again' },
])(
  'clean keeps a blob that the service refuses to delete with $code, and removes the rest',
  async ({ reason, ...refusal }) => {
    const { store, run, keys } = await openWithRefusedDelete('a.example', refusal)
    for (const host of ['a.example', 'b.example']) await store.put(host, (await expiredBundle(host)).data)
    const { code, stderr } = await run('clean', '--yes')
    expect(code).toBe(0)
    expect(stderr).toMatch(/^skipped a\.example: [^\n]+\nremoved 1 blob\n$/)
    expect(stderr).toContain(`: ${reason}`)
    expect(await keys()).toEqual(['a.example'])
  },
)

test('clean stops at the first blob that it cannot delete', async () => {
  const { store, run, keys } = await openWithRefusedDelete('b.example')
  for (const host of ['a.example', 'b.example', 'c.example']) {
    await store.put(host, (await expiredBundle(host)).data)
  }
  const { code, stderr } = await run('clean', '--yes')
  expect({ code, stderr }).toEqual({ code: 1, stderr: oneLine(/delete .*b\.example/) })
  expect(await keys()).toEqual(['b.example', 'c.example'])
})
