import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { exportKey } from '../../src/certificates/private-key.js'
import { selfSignedCertificate } from '../../src/testing/index.js'
import { azurite } from '../support/azure.js'
import { makeBundle, makeKey } from '../support/certificates.js'
import { keepSecret } from '../support/operator.js'
import { openTap } from '../support/tap.js'
import { openOperator } from './in-process.js'

const day = 86_400_000

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-import-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function bundle(options: Parameters<typeof makeBundle>[0]) {
  const created = await makeBundle(options)
  const pkcs8 = created.key.export({ format: 'pem', type: 'pkcs8' }) as string
  keepSecret(Buffer.from(created.data).toString().split('-----BEGIN CERT')[0] as string)
  keepSecret(pkcs8)
  return { ...created, pkcs8, text: Buffer.from(created.data).toString() }
}

const write = (name: string, data: string | Uint8Array) => writeFile(join(folder, name), data)

test('imports certificates and the account key of an autocert folder, byte for byte', async () => {
  const { run, keys, text } = await openOperator()
  const [ecdsa, rsa] = await Promise.all([
    bundle({ host: 'a.example' }),
    bundle({ host: 'a.example', keyType: 'rsa' }),
  ])
  const account = exportKey(makeKey())
  keepSecret(account)
  await write('a.example', ecdsa.data)
  await write('a.example+rsa', rsa.data)
  await write('acme_account+key', account)
  await write('a.example+token', ecdsa.data)
  await write('tok_en+http-01', 'x')
  await write('notes.txt.bak~', 'x')
  const dry = await run('import', '--autocert', folder, '--dry-run')
  expect(dry.stdout.split('\n').filter((line) => line.includes('would write'))).toHaveLength(3)
  expect(await keys()).toEqual([])
  const done = await run('import', '--autocert', folder, '--yes')
  expect(done.code).toBe(0)
  expect(done.stderr).toMatch(/^3 blobs written to container \S+, 0 kept, 0 refused$/m)
  expect(await keys()).toEqual(['a.example', 'a.example+rsa', 'acme_account+key'])
  expect(await text('a.example')).toBe(ecdsa.text)
  expect(await text('a.example+rsa')).toBe(rsa.text)
  expect(await text('acme_account+key')).toBe(account)
  await write('acme_account+key', exportKey(makeKey()))
  const repeated = await run('import', '--autocert', folder, '--yes')
  expect(repeated.stderr).toContain('0 blobs written')
  expect(await text('acme_account+key')).toBe(account)
})

test('imports the live folder of certbot under the key prefix of another CA', async () => {
  const { run, keys, text } = await openOperator()
  const made = await bundle({ host: 'a.example' })
  await write('README', 'This directory contains your keys and certificates.')
  await mkdir(join(folder, 'a.example'))
  await write('a.example/privkey.pem', made.pkcs8.replaceAll('\n', '\r\n'))
  await write('a.example/fullchain.pem', `\n${made.chain}\n`)
  expect(await run('import', '--certbot', folder, '--key-prefix', 'mine-')).toMatchObject({ code: 0 })
  expect(await keys()).toEqual(['mine-a.example'])
  expect(await text('mine-a.example')).toBe(made.text)
})

test('stores a certificate under each of its names, except wildcards', async () => {
  const { run, keys } = await openOperator()
  const made = await selfSignedCertificate(['a.example', '*.b.example', 'b.example'])
  keepSecret(made.privateKey)
  await write('key.pem', made.privateKey)
  await write('chain.pem', made.certificate)
  const from = ['--key', join(folder, 'key.pem'), '--chain', join(folder, 'chain.pem')]
  const done = await run('import', ...from, '--yes')
  expect(done).toMatchObject({ code: 0, stderr: expect.stringMatching(/^2 blobs written /m) })
  expect(await keys()).toEqual(['a.example', 'b.example'])
})

test('imports an autocert folder in the order of its file names, and skips folders', async () => {
  const { run } = await openOperator()
  for (const host of ['c.example', 'a.example', 'b.example']) {
    await write(host, (await bundle({ host })).data)
  }
  await mkdir(join(folder, 'd.example'))
  const { code, stdout } = await run('import', '--autocert', folder, '--yes')
  const sources = stdout.match(/^[^:\n]+/gm)
  expect({ code, sources }).toEqual({ code: 0, sources: ['a.example', 'b.example', 'c.example'] })
})

test('imports a key with its chain, and keeps a stored certificate that is newer', async () => {
  const { run, text, store } = await openOperator()
  const notBefore = new Date(Date.now() - day)
  const [former, later, longer] = await Promise.all([
    bundle({ host: 'a.example', notBefore: new Date(Date.now() - 2 * day) }),
    bundle({ host: 'a.example', notBefore, notAfter: new Date(Date.now() + 80 * day) }),
    bundle({ host: 'a.example', notBefore, notAfter: new Date(Date.now() + 90 * day) }),
  ])
  const source = async (made: typeof former) => {
    await write('key.pem', made.pkcs8)
    await write('chain.pem', made.chain)
    return run('import', '--key', join(folder, 'key.pem'), '--chain', join(folder, 'chain.pem'), '--yes')
  }
  await store.put('a.example', Buffer.from('rubbish'))
  for (const [made, verdict, stored] of [
    [former, ': written a.example (', former],
    [former, ': kept a.example (already stored', former],
    [later, ': written a.example (', later],
    [former, ': kept a.example (the stored certificate is as new or newer', later],
    // Issued at the same time: the one that is valid for longer is newer.
    [longer, ': written a.example (', longer],
    [later, ': kept a.example (the stored certificate is as new or newer', longer],
  ] as const) {
    const { code, stdout } = await source(made)
    expect(code).toBe(0)
    expect(stdout).toContain(verdict)
    expect(await text('a.example')).toBe(stored.text)
  }
})

test('does not report a certificate as written if the store rejects it', async () => {
  const operator = await openOperator()
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  tap.fault((method) =>
    method === 'PUT' ? { status: 403, code: 'AuthorizationPermissionMismatch' } : undefined,
  )
  const made = await bundle({ host: 'a.example' })
  await write('key.pem', made.pkcs8)
  await write('chain.pem', made.chain)
  const source = ['--key', join(folder, 'key.pem'), '--chain', join(folder, 'chain.pem')]
  const { code, stdout } = await operator.runWith({ endpoint: tap.endpoint }, 'import', ...source, '--yes')
  expect(code).toBe(1)
  expect(stdout).not.toContain('written')
  expect(await operator.keys()).toEqual([])
})

test('refuses certificates that servers could not use, and imports the rest', async () => {
  const { run, keys } = await openOperator()
  const [good, other, expired, wildcard] = await Promise.all([
    bundle({ host: 'good.example' }),
    bundle({ host: 'other.example' }),
    bundle({
      host: 'old.example',
      notBefore: new Date(Date.now() - 2 * day),
      notAfter: new Date(Date.now() - day),
    }),
    bundle({ host: '*.example.com' }),
  ])
  await write('good.example', good.data)
  await write('mismatch.example', good.pkcs8 + other.chain)
  await write('old.example', expired.data)
  await write('wild.example.com', wildcard.data)
  await write('rubbish.example', 'rubbish')
  await write('acme_account+key', 'rubbish')
  const { code, stdout, stderr } = await run('import', '--autocert', folder, '--yes')
  expect(code).toBe(1)
  for (const refused of [
    'mismatch.example: refused: key mismatch',
    'old.example: refused old.example: expired',
    'wild.example.com: refused: no DNS name without a wildcard: *.example.com',
    'rubbish.example: refused: no private key',
    'acme_account+key: refused acme_account+key: not a private key in PEM',
  ]) {
    expect(stdout).toContain(refused)
  }
  expect(stderr).toMatch(/^1 blob written to container \S+, 0 kept, 5 refused$/m)
  expect(await keys()).toEqual(['good.example'])
})

test('replaces a newer certificate that servers ignore under its key, and keeps one that they use', async () => {
  const { store, run } = await openOperator()
  const made = await bundle({ host: 'a.example', notBefore: new Date(Date.now() - day) })
  await write('a.example', made.data)
  const importIt = async () => (await run('import', '--autocert', folder, '--yes')).stdout
  for (const newer of [{ host: 'a.example', keyType: 'rsa' } as const, { host: 'b.example' }]) {
    await store.put('a.example', (await bundle(newer)).data)
    expect(await importIt()).toContain('a.example: written a.example')
    expect(await store.get('a.example')).toEqual(Buffer.from(made.data))
  }
  await store.put('a.example', (await bundle({ host: 'a.example' })).data)
  expect(await importIt()).toContain('the stored certificate is as new or newer')
})

test('imports the other certbot lineages if one is incomplete', async () => {
  const { run, keys } = await openOperator()
  for (const host of ['a.example', 'b.example', 'c.example']) {
    const made = await bundle({ host })
    await mkdir(join(folder, host))
    if (host !== 'a.example') await write(`${host}/privkey.pem`, made.pkcs8)
    await write(`${host}/fullchain.pem`, made.chain)
  }
  const { code, stdout, stderr } = await run('import', '--certbot', folder, '--yes')
  expect(code).toBe(1)
  expect(stdout).toMatch(/^a\.example: refused: cannot read "[^\n]*privkey\.pem": no such file or folder$/m)
  expect(stderr).toMatch(/^2 blobs written to container \S+, 0 kept, 1 refused$/m)
  expect(await keys()).toEqual(['b.example', 'c.example'])
})

test('says how to fix each refused pair of key and chain', async () => {
  const { run, keys } = await openOperator()
  const [made, other] = await Promise.all([bundle({ host: 'UPPER.example' }), bundle({ host: 'b.example' })])
  const from = async (key: string | Uint8Array, chain: string | Uint8Array = made.chain) => {
    await write('key', key)
    await write('chain', chain)
    return (await run('import', '--key', join(folder, 'key'), '--chain', join(folder, 'chain'), '--yes'))
      .stdout
  }
  const pkcs8 = { format: 'pem', type: 'pkcs8' } as const
  const ed25519 = generateKeyPairSync('ed25519').privateKey.export(pkcs8)
  const secret = { cipher: 'aes-256-cbc', passphrase: 'secret' }
  for (const [key, chain, message] of [
    [made.key.export({ ...pkcs8, ...secret }), made.chain, 'encrypted. Decrypt it with openssl pkey.'],
    [made.key.export({ format: 'pem', type: 'sec1', ...secret }), made.chain, 'encrypted. Decrypt it'],
    [
      made.key.export({ format: 'der', type: 'pkcs8' }),
      made.chain,
      'not in PEM. Convert it with openssl pkey.',
    ],
    [made.key.export({ format: 'der', type: 'sec1' }), made.chain, 'not in PEM. Convert it'],
    [ed25519, made.chain, 'the key type ed25519 is not supported'],
    [made.pkcs8, other.chain + made.chain, 'not the first in the chain. Put it first.'],
    [made.pkcs8, other.chain, 'key mismatch'],
    [made.pkcs8, 'rubbish', 'no certificate in PEM'],
  ] as const) {
    expect(await from(key, chain)).toContain(message)
  }
  expect(await keys()).toEqual([])
  expect(await from(made.pkcs8)).toContain('written upper.example')
  expect(await keys()).toEqual(['upper.example'])
})

test('reports a missing or empty source in one line', async () => {
  const { run } = await openOperator()
  for (const [args, code, message] of [
    [['--autocert', join(folder, 'none')], 1, /cannot read ".*none": no such file or folder/],
    [['--autocert', folder], 1, /found no certificate to import in ".*"/],
    [['--key', folder, '--chain', folder], 1, /cannot read ".*": it is a folder/],
    [['--key', folder], 2, /--key FILE with --chain FILE/],
    [[], 2, /pass exactly one source/],
    [['--autocert', folder, '--certbot', folder], 2, /pass exactly one source/],
  ] as const) {
    const result = await run('import', ...args)
    expect({ args, ...result }).toMatchObject({ args, code, stdout: '' })
    expect(result.stderr).toMatch(/^[^\n]+\n$/)
    expect(result.stderr).toMatch(message)
  }
})
