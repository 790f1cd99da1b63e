import { expect, test } from 'vitest'
import { caPrefix } from '../../src/certificates/storage-layout.js'
import { makeBundle } from '../support/certificates.js'
import { keepSecret } from '../support/operator.js'
import { openOperator } from './in-process.js'

const day = 86_400_000
const now = Date.now()
const staging = 'https://acme-staging-v02.api.letsencrypt.org/directory'

async function bundle(options: Parameters<typeof makeBundle>[0]) {
  const created = await makeBundle(options)
  keepSecret(created.key.export({ format: 'pem', type: 'pkcs8' }) as string)
  keepSecret(Buffer.from(created.data).toString().split('-----BEGIN CERT')[0] as string)
  return created
}

const lines = (stdout: string) => stdout.trimEnd().split('\n')

test('ls prints no rows for an empty container', async () => {
  const { run } = await openOperator()
  expect(await run('ls')).toEqual({ code: 0, stdout: '0 certificates\n', stderr: '' })
})

test('ls prints a row for each certificate, with its state', async () => {
  const { store, run, json } = await openOperator()
  const valid = await bundle({ host: 'a.example' })
  const rsa = await bundle({ host: 'a.example', keyType: 'rsa' })
  const due = await bundle({
    host: 'due.example',
    notBefore: new Date(now - 80 * day),
    notAfter: new Date(now + 10.5 * day),
  })
  const expired = await bundle({
    host: 'old.example',
    notBefore: new Date(now - 90 * day),
    notAfter: new Date(now - 3.5 * day),
  })
  const early = await bundle({ host: 'early.example', notBefore: new Date(now + day) })
  const other = await bundle({ host: 'other.example' })
  const typed = await bundle({ host: 'wrong-type.example' })
  const mixed = Buffer.from(Buffer.from(valid.data).toString().split('-----BEGIN CERT')[0] + other.chain)
  const retryAt = now + day
  const failure = (message: string) => Buffer.from(JSON.stringify({ failures: 3, retryAt, message }))
  const prefix = caPrefix(staging)
  const stored: [string, Uint8Array][] = [
    ['a.example', valid.data],
    ['a.example+rsa', rsa.data],
    ['due.example', due.data],
    ['due.example+failure', failure('the CA\u001b[31m said no')],
    ['early.example', early.data],
    ['fails.example+failure', failure('no')],
    ['mismatch.example', mixed],
    ['old.example', expired.data],
    ['rubbish.example', Buffer.from('rubbish')],
    ['wrong.example', other.data],
    ['wrong-type.example+rsa', typed.data],
    [`${prefix}a.example`, valid.data],
    ['acme_account+key', Buffer.from('x')],
    ['tok_en+http-01', Buffer.from('x')],
    ['a.example+token', Buffer.from('x')],
    ['Something Else', Buffer.from('x')],
  ]
  await Promise.all(stored.map(([key, data]) => store.put(key, data)))
  const lock = await store.tryLock('a.example')

  const rows = Object.fromEntries((await json('ls')).map((row) => [row.key, row]))
  expect(rows).toEqual({
    'a.example': expect.objectContaining({
      host: 'a.example',
      ca: '',
      state: 'valid',
      keyType: 'EC P-256',
      issuer: 'a.example',
      notAfter: expect.stringMatching(/^\d{4}-.*Z$/),
      locked: true,
      failure: null,
    }),
    'a.example+rsa': expect.objectContaining({ keyType: 'RSA 2048', state: 'valid', locked: false }),
    'due.example': expect.objectContaining({
      state: 'due',
      failure: { failures: 3, retryAt: new Date(retryAt).toISOString(), message: 'the CA�[31m said no' },
    }),
    'early.example': expect.objectContaining({ state: 'not yet valid' }),
    'fails.example': expect.objectContaining({ state: 'no certificate', notAfter: null }),
    'mismatch.example': expect.objectContaining({ state: 'corrupt', fault: 'key mismatch' }),
    'old.example': expect.objectContaining({ state: 'expired' }),
    'rubbish.example': expect.objectContaining({ state: 'corrupt', fault: 'no private key' }),
    'wrong.example': expect.objectContaining({ state: 'corrupt', fault: 'another host' }),
    'wrong-type.example+rsa': expect.objectContaining({ state: 'corrupt', fault: 'another key type' }),
    [`${prefix}a.example`]: expect.objectContaining({
      host: 'a.example',
      ca: 'acme-staging-v02.api.letsencrypt.org',
      state: 'valid',
    }),
  })

  const table = await run('ls')
  await lock?.release()
  expect(table.code).toBe(1)
  expect(table.stderr).toMatch(/^acme-cert-cache: warning: found 4 corrupt certificates\. [^\n]*\n$/)
  const shown = lines(table.stdout)
  expect(shown[0]).toMatch(/^HOST +CA +KEY +ISSUER +EXPIRES +LEFT +RENEWS +LOCK +STATE$/)
  const row = (host: string) => shown.find((line) => line.startsWith(`${host} `))
  expect(shown).toContainEqual(
    expect.stringMatching(/^a\.example +acme-staging-v02\.api\.letsencrypt\.org +EC P-256 .* valid$/),
  )
  expect(row('a.example')).toMatch(/ EC P-256 .* 89 d .* held +valid$/)
  expect(row('due.example')).toMatch(/ 10 d .* due, failing until \d{4}-\d\d-\d\d \d\d:\d\d$/)
  expect(row('old.example')).toMatch(/ -3 d .* expired$/)
  expect(shown.at(-1)).toBe(
    '10 certificates, 1 account key, 2 challenge answers, 2 failure records, 1 lock, 1 other blob',
  )

  const chosen = await json('ls', '--directory', staging)
  expect(chosen.map(({ key }) => key)).toEqual([`${prefix}a.example`])
  const production = await json('ls', '--key-prefix', '')
  expect(production).toHaveLength(Object.keys(rows).length - 1)

  const soon = await json('ls', '--expiring', '2w', '--sort', 'expires')
  expect(soon.map(({ host }) => host)).toEqual(['old.example', 'due.example'])
  const states = (await json('ls', '--sort', 'state')).map(({ state }) => state)
  expect(states).toEqual([...states].sort())
})

test('ls --sort renews sorts by the time of the renewal, not of the expiry', async () => {
  const { store, json } = await openOperator()
  const [sooner, later] = [await bundle({ host: 'a.example' }), await bundle({ host: 'b.example' })]
  await store.put('a.example', sooner.data)
  await store.put('b.example', later.data)
  for (const [{ serialNumber }, host, start] of [
    [sooner, 'a.example', now + 20 * day],
    [later, 'b.example', now + 10 * day],
  ] as const) {
    const record = { serialNumber, window: { start, end: start + day }, askAt: now }
    await store.put(`${host}+renewal`, Buffer.from(JSON.stringify(record)))
  }
  const rows = await json('ls', '--sort', 'renews')
  expect(rows.map(({ host }) => host)).toEqual(['b.example', 'a.example'])
})

test('ls does not show an abandoned lock as held', async () => {
  const { client, store, json } = await openOperator()
  await store.put('a.example', (await bundle({ host: 'a.example' })).data)
  await client.uploadBlockBlob('a.example+lock', '', 0)
  await client.uploadBlockBlob('b.example+lock', '', 0)
  expect(await json('ls')).toMatchObject([{ host: 'a.example', locked: false }])
})

test('ls lists keys under a custom key prefix and blob prefix', async () => {
  const { client, json } = await openOperator()
  const { data } = await bundle({ host: 'a.example' })
  await client.uploadBlockBlob('tls/mine-a.example', data, data.byteLength)
  expect(await json('ls')).toEqual([])
  const rows = await json('ls', '--blob-prefix', 'tls/', '--key-prefix', 'mine-')
  expect(rows).toMatchObject([{ host: 'a.example', ca: 'mine-', key: 'mine-a.example', state: 'valid' }])
})

test('ls shows the renewal time that the CA suggests', async () => {
  const { store, json } = await openOperator()
  const { data, serialNumber } = await bundle({ host: 'a.example' })
  await store.put('a.example', data)
  const start = now + 5 * day
  const record = { serialNumber, window: { start, end: start + day }, askAt: now }
  await store.put('a.example+renewal', Buffer.from(JSON.stringify(record)))
  expect(await json('ls')).toMatchObject([{ renewAt: new Date(start).toISOString() }])
})

test('ls shows the host and the CA of a key whose prefix contains the host', async () => {
  const { store, run, json } = await openOperator()
  const { data } = await bundle({ host: 'ca.example' })
  await store.put('acme.ca.example_14000~ca.example', data)
  const { stdout } = await run('ls')
  expect(lines(stdout)[1]).toMatch(/^ca\.example {2}acme\.ca\.example:14000 {2}EC P-256 .* valid$/)
  expect(await json('ls', '--sort', 'host')).toMatchObject([
    { host: 'ca.example', ca: 'acme.ca.example:14000', key: 'acme.ca.example_14000~ca.example' },
  ])
})

test('ls --expiring counts the certificates that expire, among those that it can read', async () => {
  const { store, run } = await openOperator()
  const summary = async (time: string) => lines((await run('ls', '--expiring', time)).stdout).at(-1)
  expect(await summary('3w')).toBe('0 certificates')
  await store.put('a.example', (await bundle({ host: 'a.example' })).data)
  expect(await summary('1d')).toBe('the only certificate does not expire within 1 day')
  await store.put('b.example', (await bundle({ host: 'b.example', notAfter: new Date(now + 30 * day) })).data)
  await store.put('c.example', (await bundle({ host: 'c.example', notAfter: new Date(now + 40 * day) })).data)
  await store.put('acme_account+key', Buffer.from('x'))
  expect(await summary('3w')).toBe('none of the 3 certificates expires within 3 weeks')
  expect(await summary('35d')).toBe('1 of 3 certificates has expired or expires within 35 days')
  expect(await summary('9w')).toBe('2 of 3 certificates have expired or expire within 9 weeks')
  await store.put('rubbish.example', Buffer.from('rubbish'))
  expect(await summary('90m')).toBe('none of the 3 readable certificates expires within 90 minutes')
})
