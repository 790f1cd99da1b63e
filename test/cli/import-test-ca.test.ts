import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { CertificateDetails } from '../../src/cli/container/certificate-details.js'
import { isFromTestCa } from '../../src/cli/import/test-ca.js'
import { makeBundle } from '../support/certificates.js'
import { keepSecret } from '../support/operator.js'
import { openOperator } from './in-process.js'

/** A folder with self-signed certificates for a.example and b.example, and the operator of a container. */
async function openWithFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-test-ca-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  for (const host of ['a.example', 'b.example']) {
    const { data } = await makeBundle({ host })
    keepSecret(Buffer.from(data).toString().split('-----BEGIN CERT')[0] as string)
    await writeFile(join(folder, host), data)
  }
  return { ...(await openOperator()), source: ['--autocert', folder] }
}

test.each([
  ["C=US\nO=Let's Encrypt\nCN=R11", false],
  ['C=US\nO=Google Trust Services\nCN=WE1', false],
  ['O=Contest Ltd\nCN=Greatest CA', false],
  ["C=US\nO=(STAGING) Let's Encrypt\nCN=(STAGING) Counterfeit Cashew R10", true],
  ['CN=Fake LE Intermediate X1', true],
  ['CN=Pebble Intermediate CA 0fc1a9', true],
  ['CN=ACME test intermediate a97251', true],
  ['C=NO\nO=Buypass AS-983163327\nCN=Buypass Class 2 Test4 CA 5', true],
  ['O=mkcert development CA\nCN=mkcert somebody@somewhere', true],
  ['CN=Caddy Local Authority - ECC Intermediate', true],
])('the issuer %j looks like a test CA: %s', (issuer, expected) => {
  const details = { chain: [{ subject: 'CN=a.example', issuer }] } as unknown as CertificateDetails
  expect(isFromTestCa(details)).toBe(expected)
})

test('import refuses certificates of a test CA for production if there is no terminal to ask on', async () => {
  const { run, keys, source } = await openWithFolder()
  const { code, stdout, stderr } = await run('import', ...source)
  expect(code).toBe(1)
  expect(stdout).toBe(
    ['a.example', 'b.example']
      .map(
        (host) =>
          `${host}: refused ${host}: the issuer "${host}" looks like a test CA. Select its keys with --directory, or pass --yes.\n`,
      )
      .join(''),
  )
  expect(stderr).toMatch(/^acme-cert-cache: warning: "a\.example" looks like a test CA, but [^\n]*\n/)
  expect(await keys()).toEqual([])
})

test.each([
  ['y\n', 0, ['a.example', 'b.example']],
  ['n\n', 1, []],
  ['', 1, []],
])('import asks once whether to import certificates of test CAs: %j', async (input, code, expected) => {
  const { runWith, keys, source } = await openWithFolder()
  const result = await runWith({ columns: 300, answer: async () => input }, 'import', ...source)
  expect(result.code).toBe(code)
  expect(result.stderr.split('[y/N]')).toHaveLength(2)
  expect(await keys()).toEqual(expected)
})

test.each([
  [
    ['--directory', 'https://acme.example/directory'],
    ['acme.example~a.example', 'acme.example~b.example'],
  ],
  [
    ['--key-prefix', ''],
    ['a.example', 'b.example'],
  ],
])('import with %j does not ask about test CAs', async (flags, expected) => {
  const { run, keys, source } = await openWithFolder()
  const { code, stderr } = await run('import', ...source, ...flags)
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^2 blobs written [^\n]*\n$/) })
  expect(await keys()).toEqual(expected)
})

test('import --yes and --dry-run warn about test CAs, and do not ask', async () => {
  const { run, keys, source } = await openWithFolder()
  const warning = expect.stringMatching(
    /^(acme-cert-cache: warning: "\w\.example" looks like [^\n]*\n){2}2 blobs/,
  )
  expect(await run('import', ...source, '--dry-run')).toMatchObject({ code: 0, stderr: warning })
  expect(await keys()).toEqual([])
  expect(await run('import', ...source, '--yes')).toMatchObject({ code: 0, stderr: warning })
  expect(await keys()).toEqual(['a.example', 'b.example'])
})
