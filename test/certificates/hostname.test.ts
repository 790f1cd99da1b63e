import { expect, test } from 'vitest'
import { normalizeHost, requireHost } from '../../src/certificates/hostname.js'
import { hostPolicyFunction } from '../../src/manager/host-policy.js'
import { occasion } from '../support/cert-id.js'

test.each([
  ['example.com', 'example.com'],
  ['EXAMPLE.Com', 'example.com'],
  ['example.com.', 'example.com'],
  ['a-b.c-d.example', 'a-b.c-d.example'],
  ['1.example', '1.example'],
  ['münchen.example', 'xn--mnchen-3ya.example'],
  ['MÜNCHEN.example', 'xn--mnchen-3ya.example'],
  ['xn--mnchen-3ya.example', 'xn--mnchen-3ya.example'],
  ['faß.example', 'xn--fa-hia.example'],
  ['a。b.example', 'a.b.example'],
  [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
  [`${'a.'.repeat(126)}a`, `${'a.'.repeat(126)}a`],
])('%s is normalised to %s', (name, host) => {
  expect(normalizeHost(name)).toBe(host)
})

test.each([
  ['an empty name', ''],
  ['a dot', '.'],
  ['two trailing dots', 'example.com..'],
  ['a leading dot', '.example.com'],
  ['an empty label', 'a..example'],
  ['a single label', 'localhost'],
  ['an IPv4 address', '192.0.2.1'],
  ['an IPv4 address with a trailing dot', '192.0.2.1.'],
  ['a full-width IPv4 address', '１９２.0.2.1'],
  ['a short IPv4 address', '127.1'],
  ['a short IPv4 address in hexadecimal', '0x7f.0x1'],
  ['a name that ends in a hexadecimal number', 'example.0x7f'],
  ['a name that ends in a hexadecimal number without digits', 'example.0x'],
  ['an IPv6 address', '2001:db8::1'],
  ['an IPv6 address in brackets', '[2001:db8::1]'],
  ['an underscore', 'a_b.example'],
  ['a wildcard', '*.example.com'],
  ['a port', 'example.com:443'],
  ['a path', 'example.com/x'],
  ['a backslash', 'example.com\\x'],
  ['a percent escape', 'example%2ecom.example'],
  ['a percent escape beside a non-ASCII letter', 'é%2eexample.com'],
  ['a space', 'exam ple.com'],
  ['a NUL', 'example.com\u0000'],
  ['a line feed', 'example.com\n'],
  ['a tab', 'é\texample.com'],
  ['a key suffix', 'example.com+token'],
  ['300 characters', `${'a'.repeat(49)}.`.repeat(6)],
  ['a label of 64 characters', `${'a'.repeat(64)}.example`],
  ['254 characters', `${'a.'.repeat(126)}aa`],
  ['a leading hyphen', '-a.example'],
  ['a trailing hyphen', 'a-.example'],
  ['xn-- with nothing after it', 'xn--.example'],
  ['xn-- with invalid Punycode', 'xn--999999999.example'],
  ['xn-- that encodes only ASCII', 'xn--abc-.example'],
  ['a lone surrogate', '\ud800.example'],
  ['a zero-width joiner', 'a\u200d.example'],
  ['a value that is not a string', undefined as never],
])('%s is refused', (_, name) => {
  expect(normalizeHost(name)).toBeUndefined()
  expect(() => requireHost(name)).toThrow(
    expect.objectContaining({ code: 'ERR_HOST_NAME', host: name?.slice(0, 80) ?? 'undefined' }),
  )
})

test('a list allows its names, in any spelling, and no other names', () => {
  const allows = hostPolicyFunction(['Example.com.', 'münchen.example'])
  const policy = (host: string) => allows(host, occasion)
  expect(policy('example.com')).toBe(true)
  expect(policy('xn--mnchen-3ya.example')).toBe(true)
  expect(policy('www.example.com')).toBe(false)
  expect(policy('a.example')).toBe(false)
})

test.each([[[]], [['*.example.com']], [['192.0.2.1']], [['']], [[5]], ['example.com'], [undefined], [{}]])(
  'the policy %j throws a TypeError that names hostPolicy',
  (policy) => {
    expect(() => hostPolicyFunction(policy)).toThrow(TypeError)
    expect(() => hostPolicyFunction(policy)).toThrow(/hostPolicy/)
  },
)

test('a policy with a value that JSON cannot represent throws a TypeError that names its type', () => {
  expect(() => hostPolicyFunction([5n])).toThrow(
    /hostPolicy contains an invalid host name: .* not a value of type bigint/,
  )
})
