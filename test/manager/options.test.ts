import { expect, test } from 'vitest'
import { caPrefix, certificateKey, entryKey } from '../../src/certificates/storage-layout.js'
import { CertManager } from '../../src/index.js'
import { checkManagerOptions } from '../../src/manager/options.js'
import { certId } from '../support/cert-id.js'
import { MemoryStore } from '../support/memory-store.js'

const good = {
  cache: new MemoryStore(),
  hostPolicy: ['a.example'],
  acme: { termsOfServiceAgreed: true },
}

test('the required options are sufficient', () => {
  expect(new CertManager(good as never).status()).toEqual([])
})

test.each([
  ['options', undefined],
  ['options', 'a.example'],
  ['cache', { ...good, cache: undefined }],
  ['cache', { ...good, cache: { get() {}, put() {} } }],
  ['hostPolicy', { ...good, hostPolicy: undefined }],
  ['hostPolicy', { ...good, hostPolicy: [] }],
  ['hostPolicy', { ...good, hostPolicy: 'a.example' }],
  ['acme', { ...good, acme: undefined }],
  ['acme.termsOfServiceAgreed', { ...good, acme: {} }],
  ['acme.termsOfServiceAgreed', { ...good, acme: { termsOfServiceAgreed: 'yes' } }],
  ['acme.directoryUrl', { ...good, acme: { termsOfServiceAgreed: true, directoryUrl: 'nonsense' } }],
  [
    'acme.directoryUrl',
    { ...good, acme: { termsOfServiceAgreed: true, directoryUrl: 'http://ca.example/' } },
  ],
  ['acme.email', { ...good, acme: { termsOfServiceAgreed: true, email: 'nobody' } }],
  ['acme.ca', { ...good, acme: { termsOfServiceAgreed: true, ca: 5 } }],
  ['acme.ca', { ...good, acme: { termsOfServiceAgreed: true, ca: 'ca.pem' } }],
  ['acme.profile', { ...good, acme: { termsOfServiceAgreed: true, profile: '' } }],
  ['acme.preferredChain', { ...good, acme: { termsOfServiceAgreed: true, preferredChain: 5 } }],
  ['acme.keyPrefix', { ...good, acme: { termsOfServiceAgreed: true, keyPrefix: 5 } }],
  [
    'acme.externalAccountBinding.hmacKey',
    { ...good, acme: { termsOfServiceAgreed: true, externalAccountBinding: { kid: 'k' } } },
  ],
  [
    'acme.externalAccountBinding.hmacKey',
    { ...good, acme: { termsOfServiceAgreed: true, externalAccountBinding: { kid: 'k', hmacKey: '***' } } },
  ],
  ['memory', { ...good, memory: 100 }],
  ['memory.max', { ...good, memory: { max: 0 } }],
  ['memory.max', { ...good, memory: { max: 1.5 } }],
  ['memory.max', { ...good, memory: { max: 1_000_001 } }],
  ['acme.keyPrefix', { ...good, acme: { ...good.acme, keyPrefix: 'a/b' } }],
  ['clock', { ...good, clock: 5 }],
  ['keyType', { ...good, keyType: 'rsa' }],
  ['renewBeforeMs', { ...good, renewBeforeMs: -1 }],
  ['renewBeforeMs', { ...good, renewBeforeMs: 0 }],
  ['defaultHost', { ...good, defaultHost: 5 }],
  ['defaultHost', { ...good, defaultHost: 'localhost' }],
  ['defaultHost', { ...good, defaultHost: 'b.example' }],
  ['defaultHost:', { ...good, hostPolicy: () => true, defaultHost: 'db.internal' }],
  ['hostPolicy:', { ...good, hostPolicy: ['a.example', 'db.internal'] }],
])('an invalid %s throws a TypeError that names it: %#', (option, options) => {
  expect(() => new CertManager(options as never)).toThrow(TypeError)
  expect(() => new CertManager(options as never)).toThrow(new RegExp(`^CertManager: ${option} `))
})

test('a promise as cache, and an unknown key type, are named in the message', () => {
  const create = (options: object) => () => new CertManager({ ...good, ...options } as never)
  expect(create({ cache: Promise.resolve(good.cache) })).toThrow(
    /^CertManager: cache must be a CertCache .*, not a promise: did you forget await\?$/,
  )
  expect(create({ keyType: 'rsa' })).toThrow(
    'CertManager: keyType must be one of ecdsa-p256, rsa-2048, not "rsa"',
  )
})

test('memory holds 1,000 certificates by default, and at most 1,000,000', () => {
  const maxOf = (memory?: object) => checkManagerOptions({ ...good, ...(memory && { memory }) } as never).max
  expect([maxOf(), maxOf({}), maxOf({ max: 1_000_000 })]).toEqual([1_000, 1_000, 1_000_000])
})

test('renewBeforeMs may be longer than the longest timer', () => {
  const renewBeforeMs = 60 * 86_400_000
  expect(checkManagerOptions({ ...good, renewBeforeMs } as never)).toMatchObject({ renewBeforeMs })
})

test('a hostPolicy function is not called for defaultHost, as its result may change', () => {
  const hostPolicy = () => expect.unreachable('it was called')
  expect(new CertManager({ ...good, hostPolicy, defaultHost: 'b.example' } as never).status()).toEqual([])
})

test('keys are autocert’s for Let’s Encrypt, and have a prefix for every other CA', () => {
  const production = caPrefix('https://acme-v02.api.letsencrypt.org/directory')
  const id = certId('a.example', { ca: production })
  expect(certificateKey(id)).toBe('a.example')
  expect(entryKey({ kind: 'certificate', id })).toBe('a.example')
  expect(entryKey({ kind: 'tls-alpn-01', ...id })).toBe('a.example+token')
  expect(entryKey({ kind: 'http-01', ca: production, token: 'tok' })).toBe('tok+http-01')
  expect(entryKey({ kind: 'account key', ca: production })).toBe('acme_account+key')
  expect(entryKey({ kind: 'legacy account key', ca: production })).toBe('acme_account.key')
  expect(entryKey({ kind: 'failure', id })).toBe('a.example+failure')
  const rsa = (ca: string) => certificateKey(certId('a.example', { ca, keyType: 'rsa-2048' }))
  const staging = caPrefix('https://acme-staging-v02.api.letsencrypt.org/directory')
  expect(rsa(staging)).toBe('acme-staging-v02.api.letsencrypt.org~a.example+rsa')
  expect(entryKey({ kind: 'account key', ca: staging })).toBe(
    'acme-staging-v02.api.letsencrypt.org~acme_account+key',
  )
  const local = caPrefix('https://[::1]:14000/dir')
  expect(certificateKey(certId('a.example', { ca: local }))).toBe('___1__14000~a.example')
  expect(rsa(caPrefix('https://ca.example/', ''))).toBe('a.example+rsa')
})
