import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { connect as http2Connect } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { startWebDav } from '../../examples/custom-store/webdav.js'
import { caPrefix } from '../../src/certificates/storage-layout.js'
import { serviceClient } from '../support/azure.js'
import {
  accepts,
  azureEnvironment,
  expectCertificate,
  expectToStop,
  host,
  type Program,
  run,
  startProgram,
} from './programs.js'

async function temporaryFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-example-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  return folder
}

/** Returns the request options for `https` to a program, as a client that trusts its CA. */
const clientOptions = ({ ca, port }: Program) => ({
  host: '127.0.0.1',
  port,
  servername: host,
  ca: ca.rootCertificate,
})

async function get(program: Program): Promise<string> {
  const [response] = await once(httpsRequest({ ...clientOptions(program), agent: false }).end(), 'response')
  expect(response.statusCode).toBe(200)
  return text(response)
}

/** Returns the stored bytes of the host's certificate in Azurite. */
async function storedInAzure({ ca }: Program): Promise<string> {
  const container = serviceClient().getContainerClient('autocertcache')
  const blob = container.getBlobClient(caPrefix(ca.directoryUrl) + host)
  return (await blob.downloadToBuffer()).toString('latin1')
}

test.each(['https', 'express'])(
  '%s serves its application with a certificate that it stores',
  async (name) => {
    const program = await startProgram(name, azureEnvironment())
    await expectCertificate(program)
    expect(await get(program)).toBe('Hello\n')
    expect(await storedInAzure(program)).toContain('PRIVATE KEY')
    expect(program.output()).toBe(`issued a certificate for ${host}\n`)
    await expectToStop(program)
  },
)

test('fastify-http2 speaks HTTP/2 and HTTP/1.1', async () => {
  const program = await startProgram('fastify-http2', azureEnvironment(), ['https'])
  expect(await expectCertificate(program, host, 'h2')).toMatchObject({ alpn: 'h2' })
  const { ca, port } = program
  const session = http2Connect(`https://127.0.0.1:${port}`, { servername: host, ca: ca.rootCertificate })
  expect(await text(session.request({ ':path': '/' }))).toBe('Hello over HTTP/2.0\n')
  await new Promise<void>((resolve) => session.close(resolve))
  expect(await get(program)).toBe('Hello over HTTP/1.1\n')
  await expectToStop(program)
})

test('encrypted stores no readable key', async () => {
  const CERT_KEY = randomBytes(32).toString('base64')
  const program = await startProgram('encrypted', { ...azureEnvironment(), CERT_KEY })
  await expectCertificate(program)
  expect(await storedInAzure(program)).not.toMatch(/KEY|CERTIFICATE/)
  await expectToStop(program)
})

test('folder stores files', async () => {
  const CERT_DIR = join(await temporaryFolder(), 'certificates')
  const program = await startProgram('folder', { CERT_DIR })
  await expectCertificate(program)
  expect(await readdir(CERT_DIR)).toContain(caPrefix(program.ca.directoryUrl) + host)
  await expectToStop(program)
})

test('custom-store stores files on the WebDAV server', async () => {
  const { folder, files, close } = await startWebDav()
  onTestFinished(close)
  const program = await startProgram('custom-store', { WEBDAV_URL: folder })
  await expectCertificate(program)
  expect([...files.keys()].some((path) => path.endsWith(host))).toBe(true)
  await expectToStop(program)
})

if (process.getBuiltinModule('node:sqlite')) {
  test('sqlite stores the certificate in its file', async () => {
    const folder = await temporaryFolder()
    const program = await startProgram('sqlite', { DATABASE_FILE: join(folder, 'certificates.db') })
    await expectCertificate(program)
    await expectToStop(program)
    expect(await readFile(join(folder, 'certificates.db'), 'latin1')).toContain('PRIVATE KEY')
  })
} else {
  test('sqlite names the module that this version of Node lacks', async () => {
    const { ended, output } = run('sqlite/server.js')
    expect(await ended).toEqual({ code: 1, signal: null })
    expect(output()).toContain('node:sqlite')
  })
}

test('pino logs an order as one line of JSON', async () => {
  const program = await startProgram('pino', azureEnvironment())
  const { serialNumber } = await expectCertificate(program)
  await expectToStop(program)
  const lines = program
    .output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines).toEqual([
    expect.objectContaining({ level: 30, msg: 'certificate issued', host, serialNumber }),
  ])
})

test('pino logs an order that the CA refuses', async () => {
  const program = await startProgram('pino', azureEnvironment())
  program.ca.fault({ on: 'newOrder', type: 'rejectedIdentifier' })
  await expect(expectCertificate(program)).rejects.toThrow()
  await expectToStop(program)
  const lines = program
    .output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines).toContainEqual(expect.objectContaining({ level: 50, msg: 'order failed', host }))
})

test('graceful-shutdown refuses connections, and finishes the request in progress', async () => {
  const program = await startProgram('graceful-shutdown', { ...azureEnvironment(), SHUTDOWN_MS: '120000' })
  await expectCertificate(program)
  const request = httpsRequest({ ...clientOptions(program), agent: false, method: 'POST' })
  request.write('begun before the signal, ')
  const [response] = await once(request, 'response')
  program.child.kill('SIGTERM')
  await expect.poll(() => accepts(program.port)).toBe(false)
  expect(program.child.exitCode).toBe(null)
  request.end('ended after it')
  expect(await text(response)).toBe('begun before the signal, ended after it')
  expect(await program.ended, program.output()).toEqual({ code: 0, signal: null })
})
