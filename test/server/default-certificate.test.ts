import { EventEmitter } from 'node:events'
import type { Server } from 'node:tls'
import { expect, test } from 'vitest'
import type { Certificate } from '../../src/index.js'
import { AttachedServers } from '../../src/server/attached-servers.js'
import { DefaultCertificate } from '../../src/server/default-certificate.js'
import { VirtualClock } from '../support/virtual-clock.js'

const minute = 60_000

/** Records the secure contexts that a server receives. */
class RecordingServer extends EventEmitter {
  readonly contexts: { key?: string; cert?: string; ciphers?: string }[] = []
  ciphers = 'AES'
  getTicketKeys = () => Buffer.alloc(48)
  setSecureContext(options: { key?: string; cert?: string }) {
    this.contexts.push(options)
  }
}

function setup() {
  const clock = new VirtualClock()
  const closing = new AbortController()
  const server = new RecordingServer()
  const attached = new AttachedServers(closing.signal, () => {})
  const servers = new DefaultCertificate(attached, clock, closing.signal)
  const add = (each: RecordingServer) => attached.add(each as unknown as Server)
  add(server)
  const certificate = (lifetimeMs: number, cert = 'cert') =>
    ({ key: 'key', cert, notAfter: new Date(clock.now() + lifetimeMs) }) as Certificate
  return { clock, closing, add, servers, server, certificate }
}

test('a certificate is removed once, exactly when it expires', () => {
  const { clock, servers, server, certificate } = setup()
  servers.update(certificate(25 * minute))
  expect(server.contexts).toMatchObject([{ key: 'key', cert: 'cert', ciphers: 'AES' }])
  clock.advance(25 * minute - 1)
  expect(server.contexts).toHaveLength(1)
  clock.advance(1)
  expect(server.contexts).toHaveLength(2)
  expect(server.contexts[1]).not.toHaveProperty('cert')
  clock.advance(60 * minute)
  expect(server.contexts).toHaveLength(2)
})

test.each([
  'ca',
  'certificateCompression',
  'ciphers',
  'crl',
  'dhparam',
  'ecdhCurve',
  'honorCipherOrder',
  'maxVersion',
  'minVersion',
  'secureOptions',
  'secureProtocol',
  'sessionIdContext',
  'sessionTimeout',
  'sigalgs',
])('the option %s of a server does not change', (option) => {
  const { servers, server, certificate } = setup()
  Object.assign(server, { [option]: 'as configured' })
  servers.update(certificate(90 * minute))
  expect(server.contexts).toMatchObject([{ cert: 'cert', [option]: 'as configured' }])
})

test('after close, a new certificate is still installed', () => {
  const { closing, servers, server, certificate } = setup()
  closing.abort()
  servers.update(certificate(90 * minute))
  expect(server.contexts).toMatchObject([{ cert: 'cert' }])
})

test('expiry is checked at least every 10 minutes', () => {
  const { clock, servers, certificate } = setup()
  let looks = 0
  const after = clock.after.bind(clock)
  clock.after = (ms, fn) => {
    looks += 1
    expect(ms).toBeLessThanOrEqual(10 * minute)
    return after(ms, fn)
  }
  servers.update(certificate(90 * 1_440 * minute))
  clock.advance(60 * minute)
  expect(looks).toBe(7)
})

test('one timer runs, however often the certificate is replaced, and none after close', () => {
  const { clock, closing, servers, server, certificate } = setup()
  servers.update(certificate(90 * minute, 'first'))
  servers.update(certificate(90 * minute, 'second'))
  expect(clock.pending).toBe(1)
  expect(server.contexts.map(({ cert }) => cert)).toEqual(['first', 'second'])
  closing.abort()
  expect(clock.pending).toBe(0)
  servers.update(certificate(90 * minute, 'third'))
  expect(clock.pending).toBe(0)
})

test('a server that is added again gets no further listener, and none after it has closed', () => {
  const { add, servers, server, certificate } = setup()
  expect(add(server)).toBe(false)
  expect(server.listenerCount('close')).toBe(1)
  servers.update(certificate(90 * minute))
  expect(server.contexts).toHaveLength(1)
  server.emit('close')
  expect(server.listenerCount('close')).toBe(0)
  expect(add(server)).toBe(true)
  servers.update(certificate(80 * minute))
  expect(server.contexts).toHaveLength(2)
})

test('close leaves no listener on a server', () => {
  const { closing, server } = setup()
  closing.abort()
  for (const event of ['close', 'listening']) expect(server.listenerCount(event)).toBe(0)
})

test('a closed server receives no further certificates', () => {
  const { servers, server, certificate } = setup()
  server.emit('close')
  servers.update(certificate(90 * minute))
  expect(server.contexts).toEqual([])
})

test('a server that throws does not keep other servers from receiving the certificate', () => {
  const { add, servers, server, certificate } = setup()
  const broken = new RecordingServer()
  broken.getTicketKeys = () => expect.unreachable('closed')
  const last = new RecordingServer()
  for (const each of [broken, last]) add(each)
  servers.update(certificate(90 * minute))
  expect([server, broken, last].map(({ contexts }) => contexts.length)).toEqual([1, 0, 1])
})
