import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { Server as HttpServer } from 'node:http'
import { createServer, type Server as HttpsServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { selfSignedCertificate, TestCa } from '../../src/testing/index.js'
import { type DnsRecords, openNameServer } from '../support/dns.js'
import { listen } from '../support/tls.js'

interface Finding {
  check: string
  status: string
  text: string
}

/** Returns the findings of `doctor --json` by check. */
export const findings = (stdout: string): Record<string, Finding> =>
  Object.fromEntries(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Finding)
      .map((finding) => [finding.check, finding]),
  )

/** Starts a CA for this test, and returns the flags that name it. */
export async function testCa() {
  const ca = await TestCa.start({ httpPort: 1, challengeTypes: ['http-01'] })
  onTestFinished(() => ca.close())
  return { ca, flags: await caFlags(ca.directoryUrl, ca.endpointCertificate) }
}

/** Returns the flags that name a CA with no endpoint except its directory. */
export async function directoryOnly(meta: object) {
  const url = 'https://ca.invalid/'
  const { certificate, privateKey } = await selfSignedCertificate()
  const server = createServer({ cert: certificate, key: privateKey }, (_req, res) =>
    res
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ newNonce: url, newAccount: url, newOrder: url, meta })),
  )
  return caFlags(`https://127.0.0.1:${await listenForTest(server)}/directory`, certificate)
}

/** Listens on a free port, which it returns, until the test has finished. */
export async function listenForTest(server: HttpServer | HttpsServer): Promise<number> {
  const port = await listen(server)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return port
}

async function caFlags(directoryUrl: string, endpointCertificate: string) {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-doctor-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'ca.pem')
  await writeFile(file, endpointCertificate)
  return ['--directory', directoryUrl, '--ca', file]
}

/** Starts a DNS server with these records, and returns the flags that name it. */
export async function nameServer(names: Record<string, DnsRecords>) {
  const server = await openNameServer(names)
  onTestFinished(() => server.close())
  return ['--dns', server.address]
}
