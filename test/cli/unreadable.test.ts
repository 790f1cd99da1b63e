import { expect, onTestFinished, test } from 'vitest'
import { azurite } from '../support/azure.js'
import { makeBundle } from '../support/certificates.js'
import { type Fault, openTap } from '../support/tap.js'
import { openOperator } from './in-process.js'

/** A container with three certificates, behind a proxy that breaks reads of the second. */
async function openWithFault(fault: Fault) {
  const { store, runWith, keys } = await openOperator()
  const { data } = await makeBundle({ host: '*.example.com' })
  for (const name of ['a', 'b', 'c']) await store.put(`${name}.example.com`, data)
  const tap = await openTap(azurite().endpoint)
  onTestFinished(tap.close)
  tap.fault((method, path) => (method === 'GET' && path.endsWith('/b.example.com') ? fault : undefined))
  const run = (command: string, ...args: string[]) => runWith({ endpoint: tap.endpoint }, command, ...args)
  return { run, keys }
}

test('ls prints a row for a blob that the service does not return; clean keeps it, rm removes it', async () => {
  const { run, keys } = await openWithFault({ status: 409, code: 'BlobArchived' })
  const { code, stdout, stderr } = await run('ls')
  expect(stdout).toMatch(
    /^a\.example\.com .* valid\nb\.example\.com +unreadable: BlobArchived\nc\.example\.com .* valid\n/m,
  )
  expect(stderr).toMatch(
    /^acme-cert-cache: warning: cannot read 1 certificate: [^\n]* Set their access tier to hot[^\n]*\n$/,
  )
  expect(code).toBe(1)
  expect((await run('ls', '--expiring', '1d', '--json')).stdout).toMatch(/^{"host":"b.example.com"[^\n]*\n$/)
  const cleaned = await run('clean', '--yes')
  expect(cleaned).toMatchObject({ code: 0, stdout: '' })
  expect(cleaned.stderr).toContain(
    'skipped b.example.com: the service does not return the blob (BlobArchived)',
  )
  expect(await keys()).toHaveLength(3)
  expect(await run('rm', 'b.example.com', '--yes')).toMatchObject({ code: 0, stdout: 'b.example.com\n' })
  expect(await keys()).toHaveLength(2)
})

test('ls prints the rows that it read before an error', async () => {
  const { run } = await openWithFault({ status: 403, code: 'AuthorizationPermissionMismatch' })
  const { code, stdout, stderr } = await run('ls')
  expect(stdout).toMatch(/^HOST .*\na\.example\.com .* valid\n$/)
  expect(stderr).toMatch(/^acme-cert-cache: [^\n]*read .*b\.example\.com[^\n]*\n$/)
  expect(code).toBe(1)
})
