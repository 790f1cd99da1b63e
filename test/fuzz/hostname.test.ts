import { isIP } from 'node:net'
import fc from 'fast-check'
import { expect } from 'vitest'
import { normalizeHost, requireHost } from '../../src/certificates/hostname.js'
import { assertCacheKey, HostError } from '../../src/index.js'
import { hostPolicyFunction } from '../../src/manager/host-policy.js'
import { occasion } from '../support/cert-id.js'
import { damagedText, property } from './support.js'

const label = fc
  .tuple(
    fc.stringMatching(/^[a-zA-Z0-9]$/),
    fc.stringMatching(/^[a-zA-Z0-9-]{0,61}$/),
    fc.stringMatching(/^[a-zA-Z0-9]$/),
  )
  .map((parts) => parts.join(''))
const pieces = fc.constantFrom(
  ...[
    '.',
    '..',
    '-',
    'xn--',
    'xn--mnchen-3ya',
    'ü',
    'ß',
    'ﬀ',
    '。',
    '１',
    '\u200d',
    '\u0301',
    '\ud800',
    '%2e',
    '*',
  ],
  ...[
    '\u0000',
    '\n',
    ':443',
    '/',
    '\\',
    '@',
    '[',
    ']',
    '_',
    '+',
    ' ',
    '127.0.0.1',
    '0x7f',
    '1e3',
    'com',
    'İ',
    'Ω',
  ],
)
/** Labels that some parser may read as part of an IPv4 address. */
const numeric = fc.constantFrom('0', '1', '255', '256', '017', '08', '0x', '0x7f', '0XFF', '1e3', 'a', '１')
const names = fc.oneof(
  fc.array(numeric, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.')),
  fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.')),
  fc.array(fc.oneof(pieces, label), { maxLength: 8 }).map((parts) => parts.join('')),
  damagedText('www.example.com', ['.', '-', 'xn--', 'ü', '\u0000', '%2e']),
  fc.string({ unit: 'binary', maxLength: 600 }),
  fc.domain(),
  fc.ipV4(),
  fc.ipV6(),
)

property('a normalised name is stable, and valid in keys, certificates and URLs', 5_000, names, (name) => {
  const host = normalizeHost(name)
  if (host === undefined) return
  expect(normalizeHost(host)).toBe(host)
  expect(normalizeHost(`${host}.`)).toBe(host)
  expect(normalizeHost(host.toUpperCase())).toBe(host)
  expect(host).toMatch(/^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+$/)
  expect(host.length).toBeLessThanOrEqual(253)
  expect(isIP(host)).toBe(0)
  expect(() => assertCacheKey(host)).not.toThrow()
  // No other parser reads the name as another host.
  expect(new URL(`https://${host}:8443/`).hostname).toBe(host)
})

property('a well-formed name is accepted', 1_000, fc.domain(), (name) => {
  // fc.domain() may contain an invalid xn-- label, which is refused.
  fc.pre(!/(^|\.)xn--/i.test(name))
  expect(normalizeHost(name)).toBe(name.toLowerCase())
})

property(
  'an invalid name causes a HostError that shows at most 80 characters of the name',
  1_000,
  fc.oneof(names, fc.anything({ withBigInt: true })),
  (name) => {
    try {
      expect(requireHost(name as string)).toBe(normalizeHost(name as string))
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(HostError)
      // Each may be escaped, as \u0000.
      expect((thrown as Error).message.length).toBeLessThan(6 * 80 + 100)
    }
  },
)

property(
  'a list of hosts results in a policy that allows them, or in a TypeError that names hostPolicy',
  1_000,
  fc.oneof(fc.array(fc.oneof(names, fc.anything({ withBigInt: true }))), fc.anything({ withBigInt: true })),
  (policy) => {
    try {
      const allows = hostPolicyFunction(policy)
      if (Array.isArray(policy))
        for (const name of policy) expect(allows(normalizeHost(name) as string, occasion)).toBe(true)
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(TypeError)
      expect((thrown as Error).message).toContain('hostPolicy')
    }
  },
)
