import { createSecureContext, type SecureContext } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LiveCertificate } from '../../src/certificates/live-certificate.js'
import { ServerContexts } from '../../src/server/contexts/server-contexts.js'
import { type HandshakeSource, tlsCallbacks } from '../../src/server/tls-callbacks.js'

const warnings: string[] = []
const listener = ({ message }: Error) => void warnings.push(message)
beforeEach(() => {
  warnings.length = 0
  process.on('warning', listener)
})
afterEach(() => {
  process.off('warning', listener)
})

/** Callbacks for a source without certificates, except for `overrides`. */
const callbacks = (overrides: Partial<HandshakeSource>) =>
  tlsCallbacks(
    {
      fromMemory: () => undefined,
      obtain: async () => undefined,
      pendingChallenge: () => undefined,
      storedChallenge: async () => undefined,
      onInvalidName: () => {},
      onMisconfigured: () => {},
      ...overrides,
    },
    { contexts: new ServerContexts(undefined) },
  )

/** Calls SNICallback, and resolves with its first answer. */
const answer = ({ SNICallback }: ReturnType<typeof tlsCallbacks>, socket: object = {}) =>
  new Promise<[Error | null, SecureContext | undefined]>((resolve) => {
    SNICallback.call(socket as never, 'a.example', (error, context) => resolve([error, context]))
  })

/** Marks a socket as one on which a CA validates a challenge. */
function validate({ ALPNCallback }: ReturnType<typeof tlsCallbacks>) {
  const socket = { getProtocol: () => 'TLSv1.3', remoteAddress: '192.0.2.7', prependOnceListener() {} }
  const offer = { servername: 'a.example', protocols: ['acme-tls/1'] }
  expect(ALPNCallback.call(socket as never, offer)).toBe('acme-tls/1')
  return socket
}

const broken = () => {
  throw new Error('broken source')
}

test.each([
  ['throws', { fromMemory: broken }],
  ['rejects', { obtain: async () => broken() }],
])('a source that %s causes a warning and a handshake without a context', async (_, overrides) => {
  expect(await answer(callbacks(overrides))).toEqual([null, undefined])
  await expect.poll(() => warnings.join()).toContain('broken source')
})

test('a server’s callback that throws causes a warning, and is called once', async () => {
  let calls = 0
  callbacks({}).SNICallback.call({} as never, 'a.example', () => {
    calls += 1
    throw new Error('the socket has gone')
  })
  await expect.poll(() => warnings.join()).toContain('the socket has gone')
  expect(calls).toBe(1)
})

test('ALPNCallback returns no protocol and causes a warning if a challenge cannot be read', async () => {
  const { ALPNCallback } = callbacks({ pendingChallenge: broken })
  const socket = { getProtocol: () => 'TLSv1.2', prependOnceListener() {} }
  const offer = { servername: 'a.example', protocols: ['acme-tls/1'] }
  expect(ALPNCallback.call(socket as never, offer)).toBeUndefined()
  await expect.poll(() => warnings.join()).toContain('broken source')
})

test('a validation reads an answer in the store with the client’s address, unless this process has one', async () => {
  const [pending, stored] = [createSecureContext(), createSecureContext()]
  const reads: string[][] = []
  const storedChallenge = async (...args: string[]) => {
    reads.push(args)
    return stored
  }
  const certificate = { fromMemory: () => expect.unreachable('a certificate is no answer') }
  const other = callbacks({ ...certificate, storedChallenge })
  expect(await answer(other, validate(other))).toEqual([null, stored])
  expect(reads).toEqual([['a.example', '192.0.2.7']])
  const own = callbacks({ ...certificate, storedChallenge, pendingChallenge: () => pending })
  expect(await answer(own, validate(own))).toEqual([null, pending])
  expect(reads).toHaveLength(1)
})

test('the client’s address is read only if the certificate is not in memory', async () => {
  const context = createSecureContext()
  const socket = {
    get remoteAddress(): string {
      return expect.unreachable('the address was read')
    },
  }
  const live = { context } as LiveCertificate
  expect(await answer(callbacks({ fromMemory: () => live }), socket)).toEqual([null, context])
  const clients: (string | undefined)[] = []
  const source = callbacks({
    obtain: async (_, client) => {
      clients.push(client)
      return live
    },
  })
  for (const remoteAddress of ['::ffff:192.0.2.7', '2001:db8::7', undefined])
    expect(await answer(source, { remoteAddress })).toEqual([null, context])
  expect(clients).toEqual(['192.0.2.7', '2001:db8::7', undefined])
})

test('a validation of an invalid name is reported, and reads no answer', () => {
  const invalid: string[] = []
  const source = callbacks({
    pendingChallenge: () => expect.unreachable(),
    onInvalidName: (servername) => invalid.push(servername),
  })
  const answers: unknown[] = []
  source.SNICallback.call(validate(source) as never, 'localhost', (...args) => answers.push(args))
  expect(answers).toEqual([[null, undefined]])
  expect(invalid).toEqual(['localhost'])
})
