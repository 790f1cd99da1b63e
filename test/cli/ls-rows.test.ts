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
  keepSecret(Buffer.from(created.data).toString().split('-----BEGIN CERT')[0] as string)
  return created
}

const failureUntil = (retryAt: number) =>
  Buffer.from(JSON.stringify({ failures: 1, retryAt, message: 'the CA said no' }))

const lines = (stdout: string) => stdout.trimEnd().split('\n')

test('ls prints a row for each host whose order or renewal information is locked', async () => {
  const { store, json } = await openOperator()
  const { data } = await bundle({ host: 'b.example' })
  await store.put('b.example', data)
  await store.put('b.example+rsa', (await bundle({ host: 'b.example', keyType: 'rsa' })).data)
  const names = ['a.example', 'b.example+renewal', 'c.example+rsa']
  const locks = await Promise.all(names.map((name) => store.tryLock(name)))
  expect((await json('ls')).map(({ key, state, locked }) => [key, state, locked])).toEqual([
    ['a.example', 'no certificate', true],
    ['b.example', 'valid', true],
    ['b.example+rsa', 'valid', false],
    ['c.example+rsa', 'no certificate', true],
  ])
  for (const lock of locks) await lock?.release()
})

test('ls ignores the suggested renewal window of another certificate', async () => {
  const { store, json } = await openOperator()
  await store.put('a.example', (await bundle({ host: 'a.example' })).data)
  const [before] = await json('ls')
  const window = { start: now - 2 * day, end: now - day }
  const record = { serialNumber: (await bundle({ host: 'a.example' })).serialNumber, window, askAt: now }
  await store.put('a.example+renewal', Buffer.from(JSON.stringify(record)))
  expect(before).toMatchObject({ state: 'valid' })
  expect(await json('ls')).toEqual([before])
})

test('ls --sort prints the same rows as without it, in the order of the column', async () => {
  const { store, run, json } = await openOperator()
  const prefix = caPrefix(staging)
  const [a, b, other] = [
    await bundle({ host: 'a.example', notAfter: new Date(now + 60 * day) }),
    await bundle({ host: 'b.example', notAfter: new Date(now + 50 * day) }),
    await bundle({ host: '0.example' }),
  ]
  await store.put('a.example', a.data)
  await store.put('b.example', b.data)
  await store.put('b.example+failure', failureUntil(now + day))
  await store.put('c.example', other.data)
  await store.put('d.example+failure', failureUntil(now + day))
  await store.put(`${prefix}b.example`, b.data)
  const lock = await store.tryLock('a.example')
  const unsorted = await json('ls')
  for (const [column, hosts] of [
    ['host', ['a.example', 'b.example', 'b.example', 'c.example', 'd.example']],
    ['issuer', ['d.example', 'c.example', 'a.example', 'b.example', 'b.example']],
    ['expires', ['d.example', 'b.example', 'b.example', 'a.example', 'c.example']],
    ['renews', ['d.example', 'b.example', 'b.example', 'a.example', 'c.example']],
  ] as const) {
    const sorted = await json('ls', '--sort', column)
    expect({ column, hosts: sorted.map(({ host }) => host) }).toEqual({ column, hosts })
    expect(sorted).toHaveLength(unsorted.length)
    expect(sorted).toEqual(expect.arrayContaining(unsorted))
  }
  const [table, sortedTable] = [await run('ls'), await run('ls', '--sort', 'expires')]
  await lock?.release()
  expect(lines(sortedTable.stdout).sort()).toEqual(lines(table.stdout).sort())
})

test('ls colours the state and the time that is left', async () => {
  const { store, runWith } = await openOperator()
  const notBefore = new Date(now - 80 * day)
  for (const [host, days] of [
    ['days-06.example', 6.9],
    ['days-07.example', 7.1],
    ['days-13.example', 13.9],
    ['days-14.example', 14.1],
    ['days-89.example', 89],
  ] as const) {
    const { data } = await bundle({ host, notBefore, notAfter: new Date(now + days * day) })
    await store.put(host, data)
  }
  await store.put('fails.example+failure', failureUntil(now + day))
  await store.put('failed.example+failure', failureUntil(now - day))
  await store.put('rubbish.example', Buffer.from('rubbish'))
  const { stdout } = await runWith({ columns: 300, colours: true }, 'ls')
  const colours = { 31: 'red', 32: 'green', 33: 'yellow' } as Record<string, string>
  const coloursOf = (host: string) => {
    const line = lines(stdout).find((line) => line.startsWith(host)) ?? ''
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape sequences of colours
    const cells = line.matchAll(/\u001b\[(\d+)m(.*?)\u001b\[39m/g)
    return [...cells].map(([, code, text]) => `${colours[code as string]} ${text?.trim()}`)
  }
  expect(coloursOf('days-06.example')).toEqual(['red 6 d', 'yellow due'])
  expect(coloursOf('days-07.example')).toEqual(['yellow 7 d', 'yellow due'])
  expect(coloursOf('days-13.example')).toEqual(['yellow 13 d', 'yellow due'])
  expect(coloursOf('days-14.example')).toEqual(['yellow due'])
  expect(coloursOf('days-89.example')).toEqual(['green valid'])
  expect(coloursOf('fails.example')).toEqual([expect.stringMatching(/^red no certificate, failing until /)])
  expect(coloursOf('failed.example')).toEqual(['yellow no certificate'])
  expect(coloursOf('rubbish.example')).toEqual(['red corrupt: no private key'])
})

test('ls shows less than two days in hours, and counts blobs of each kind', async () => {
  const { store, run } = await openOperator()
  for (const [host, hours] of [
    ['a.example', 47.9],
    ['b.example', 48.1],
  ] as const) {
    const notAfter = new Date(now + hours * 3_600_000)
    await store.put(host, (await bundle({ host, notBefore: new Date(now - day), notAfter })).data)
  }
  for (const key of ['a.example+renewal', 'a.example+rsa+renewal', 'acme_account.key', 'a.example+rsa+token'])
    await store.put(key, Buffer.from('x'))
  const { stdout } = await run('ls')
  expect(stdout).toMatch(/^a\.example .* 47 h .*\nb\.example .* 2 d /m)
  expect(lines(stdout).at(-1)).toBe('2 certificates, 1 account key, 2 renewal records, 1 other blob')
})

test.each([
  ['60m', ['a.example']],
  ['2h', ['a.example', 'b.example']],
  ['2d', ['a.example', 'b.example', 'c.example']],
])('ls --expiring %s prints the certificates that expire within that time', async (time, hosts) => {
  const { store, json } = await openOperator()
  for (const [host, minutes] of [
    ['a.example', 55],
    ['b.example', 115],
    ['c.example', 2_875],
    ['d.example', 2_890],
  ] as const) {
    const notAfter = new Date(now + minutes * 60_000)
    await store.put(host, (await bundle({ host, notBefore: new Date(now - day), notAfter })).data)
  }
  expect((await json('ls', '--expiring', time)).map(({ host }) => host)).toEqual(hosts)
})
