import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { exportKey } from '../../src/certificates/private-key.js'
import { EncryptedCertCache } from '../../src/index.js'
import { TestCa } from '../../src/testing/index.js'
import { makeBundle, makeKey } from '../support/certificates.js'
import { openNameServer } from '../support/dns.js'
import { keepSecret } from '../support/operator.js'
import { openOperator } from './in-process.js'

const day = 86_400_000
const failure = Buffer.from(JSON.stringify({ failures: 1, retryAt: Date.now() + day, message: 'no' }))

/** A container that servers with an EncryptedCertCache share, with an expired certificate in it. */
async function makeEncrypted() {
  const operator = await openOperator()
  const key = randomBytes(32)
  const encrypted = new EncryptedCertCache(operator.store, { keys: { current: { id: 'one', key } } })
  const expired = { host: 'old.example', notBefore: new Date(0), notAfter: new Date(Date.now() - day) }
  const [valid, old] = await Promise.all([makeBundle({ host: 'a.example' }), makeBundle(expired)])
  await encrypted.put('acme_account+key', Buffer.from(exportKey(makeKey())))
  await encrypted.put('a.example', valid.data)
  await encrypted.put('old.example', old.data)
  await encrypted.put('old.example+failure', failure)
  await encrypted.put('fails.example+failure', failure)
  return { ...operator, encrypted, valid }
}

async function makeFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-encrypted-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  return folder
}

test('ls shows encrypted certificates as such, not as corrupt, and clean keeps them', async () => {
  const { run, json, keys } = await makeEncrypted()
  const before = await keys()
  const table = await run('ls')
  expect(table).toMatchObject({ code: 0, stderr: '' })
  expect(table.stdout).toMatch(/^a\.example +encrypted$/m)
  expect(await json('ls')).toMatchObject([
    { host: 'a.example', state: 'encrypted', fault: null, notAfter: null },
    { host: 'fails.example', state: 'no certificate' },
    { host: 'old.example', state: 'encrypted' },
  ])
  const expiring = await run('ls', '--expiring', '14d')
  expect(expiring).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('cannot read the expiry dates of 2 encrypted certificates'),
  })
  expect(await run('clean', '--yes')).toMatchObject({ code: 0, stdout: '' })
  expect(await keys()).toEqual(before)
})

test('show reports that a certificate is encrypted; neither show nor export writes a file', async () => {
  const { run, json } = await makeEncrypted()
  const folder = await makeFolder()
  const shown = await run('show', 'old.example')
  expect(shown).toMatchObject({ code: 0, stderr: '' })
  expect(shown.stdout).toMatch(/^encrypted .*\nfailures +encrypted$/m)
  expect(await json('show', 'a.example')).toMatchObject([{ encrypted: true, fault: null, names: null }])
  const files = ['--key', join(folder, 'key'), '--chain', join(folder, 'chain')]
  for (const args of [
    ['show', 'a.example', '--with-key', join(folder, 'both')],
    ['export', 'a.example', ...files],
  ]) {
    const { code, stderr } = await run(...(args as [string, ...string[]]))
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^acme-cert-cache: "a\.example" is encrypted\. Read it through an EncryptedCertCache[^\n]*\n$/,
    )
  }
  expect(await readdir(folder)).toEqual([])
})

test('import writes no plaintext next to or over encrypted values', async () => {
  const { run, keys, store, encrypted, valid } = await makeEncrypted()
  const folder = await makeFolder()
  keepSecret(Buffer.from(valid.data).toString().split('-----BEGIN CERT')[0] as string)
  await writeFile(join(folder, 'a.example'), valid.data)
  await writeFile(join(folder, 'b.example'), (await makeBundle({ host: 'b.example' })).data)
  const before = await keys()
  for (const flags of [[], ['--dry-run']]) {
    const { code, stdout, stderr } = await run('import', '--autocert', folder, ...flags)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^[^\n]* is encrypted, and servers reject plaintext\. [^\n]*\n$/)
  }
  // Now only the certificates show that the container is encrypted.
  await store.delete('acme_account+key')
  const { code, stdout } = await run('import', '--autocert', folder, '--yes')
  expect(code).toBe(1)
  expect(stdout).toContain('a.example: refused a.example: the stored value is encrypted')
  expect(await encrypted.get('a.example')).toEqual(Buffer.from(valid.data))
  expect((await keys()).filter((key) => !before.includes(key))).toEqual(['b.example'])
})

test('doctor accepts an encrypted container, and skips the http-01 answer that servers could not read', async () => {
  const { run, keys } = await makeEncrypted()
  const ca = await TestCa.start({ httpPort: 1 })
  onTestFinished(() => ca.close())
  const dns = await openNameServer({ 'a.example': { A: ['127.0.0.1'], CAA: [] }, example: {} })
  onTestFinished(dns.close)
  const file = join(await makeFolder(), 'ca.pem')
  await writeFile(file, ca.endpointCertificate)
  const before = await keys()
  const flags = ['--directory', ca.directoryUrl, '--ca', file, '--key-prefix', '', '--dns', dns.address]
  const { code, stdout } = await run('doctor', 'a.example', ...flags, '--http-port', '1')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^ok +account: the key "acme_account\+key" is encrypted/m)
  expect(stdout).toMatch(/^warning +http: not checked/m)
  expect(await keys()).toEqual(before)
})
