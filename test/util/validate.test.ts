import { describe, expect, test } from 'vitest'
import * as validate from '../../src/util/validate.js'

const name = 'Cache: option'
type Check = (name: string, value: unknown) => unknown

/** For each check: values that it returns as they are, and values that it rejects. */
const checks: Record<string, [check: Check, valid: unknown[], invalid: unknown[]]> = {
  positiveInteger: [
    validate.positiveInteger,
    [1, Number.MAX_SAFE_INTEGER],
    [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1', 1n, null, undefined],
  ],
  'positiveInteger up to 10': [
    (...args) => validate.positiveInteger(...args, 10),
    [1, 10],
    [0, 11, Number.POSITIVE_INFINITY],
  ],
  milliseconds: [
    validate.milliseconds,
    [1, 2 ** 31 - 1],
    [0, -1, 0.5, 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY, '1000', undefined],
  ],
  'milliseconds up to 300,000': [
    (...args) => validate.milliseconds(...args, 300_000),
    [1, 300_000],
    [0, 300_001],
  ],
  text: [validate.nonEmptyString, ['a', ' '], ['', 5, undefined, null, ['a']]],
  listOfText: [
    validate.nonEmptyStrings,
    [['a'], ['a', 'b']],
    [[], 'a', [''], ['a', 5], undefined, { length: 1 }],
  ],
  flag: [validate.boolean, [true, false], ['true', 0, 1, null, undefined]],
  func: [validate.callback, [() => {}, class {}], ['f', {}, null, undefined]],
  oneOf: [
    (...args) => validate.oneOf(...args, ['http-01', 'tls-alpn-01']),
    ['http-01', 'tls-alpn-01'],
    ['dns-01', '', undefined, ['http-01']],
  ],
  keyPrefix: [
    validate.keyPrefix,
    ['', 'tls/', 'a+b c/', '~!'],
    ['a:b', 'a\\b', 'a*', 'a?', 'a"', 'a<', 'a>', 'a|', 'é', 'a\n', '\u007f', 5, undefined, null],
  ],
}

describe.each(Object.entries(checks))('%s', (_, [check, valid, invalid]) => {
  test.each(valid.map((value) => [value]))('returns %j', (value) => {
    expect(check(name, value)).toEqual(value)
  })

  test.each(invalid.map((value) => [value]))('throws a TypeError that names the option for %o', (value) => {
    expect(() => check(name, value)).toThrow(TypeError)
    expect(() => check(name, value)).toThrow(/^Cache: option must be /)
  })
})

test('plainObject returns a copy of an options object', () => {
  const options = { a: 1 }
  const copy = validate.plainObject<{ a: number }>(name, options, { a: true })
  expect(copy).toEqual(options)
  copy.a = 2
  expect(options.a).toBe(1)
  expect(validate.plainObject(name, new (class {})(), {})).toEqual({})
})

test.each([undefined, null, 'options', 5, true, ['a'], () => {}])(
  'plainObject throws a TypeError for %o',
  (value) => {
    expect(() => validate.plainObject(name, value, {})).toThrow(TypeError)
  },
)

test.each([
  ['directoryURL', 'Did you mean "directoryUrl"?'],
  ['email_', 'Did you mean "email"?'],
  ['timeOutMs', 'Did you mean "timeoutMs"?'],
  ['somethingElse', 'Options: directoryUrl, email, timeoutMs.'],
  ['__proto', 'Options: directoryUrl, email, timeoutMs.'],
])('plainObject throws a TypeError for the unknown option %s', (unknown, advice) => {
  const known = { directoryUrl: true, email: true, timeoutMs: true } as const
  const check = () => validate.plainObject('Manager: options', { email: 'a', [unknown]: undefined }, known)
  expect(check).toThrow(new TypeError(`Manager: unknown option "${unknown}". ${advice}`))
  expect(() => validate.plainObject('Manager: acme', { [unknown]: 1 }, known)).toThrow(
    /^Manager: acme: unknown option/,
  )
})

test('plainObject shows an unknown name in quotes, and shortens it', () => {
  const check = (name: string) => () => validate.plainObject('Manager: options', { [name]: 1 }, {})
  expect(check('a\n\u001b[31m')).toThrow('unknown option "a\\n\\u001b[31m".')
  expect(check('x'.repeat(300_000))).toThrow(`unknown option "${'x'.repeat(80)}".`)
})

test('plainObject rejects bytes and promises', () => {
  expect(() => validate.plainObject('Cache: key', new Uint8Array(32), {})).toThrow(
    /^Cache: key must be an object/,
  )
  expect(() => validate.plainObject('Cache: options', Promise.resolve({}), {})).toThrow(
    'Cache: options must be an object, not a promise: did you forget await?',
  )
})

test('optional returns undefined unchecked, and otherwise the result of the check', () => {
  const check = (_name: string, value: unknown) => `checked ${value}`
  expect(validate.optional(name, undefined, check)).toBeUndefined()
  expect(validate.optional(name, null, check)).toBe('checked null')
  expect(validate.optional(name, 0, check)).toBe('checked 0')
})

test('messages state the range and show no value that could be a secret', () => {
  const messageOf = (call: () => unknown) => {
    try {
      return call()
    } catch (thrown) {
      return (thrown as Error).message
    }
  }
  const messages = [
    () => validate.positiveInteger(name, 0),
    () => validate.positiveInteger(name, 11, 10),
    () => validate.milliseconds(name, 'SECRET'),
    () => validate.milliseconds(name, Number.NaN, 300_000),
    () => validate.nonEmptyString(name, ''),
    () => validate.nonEmptyString(name, { key: 'SECRET' }),
    () => validate.nonEmptyStrings(name, []),
    () => validate.nonEmptyStrings(name, 'SECRET'),
    () => validate.nonEmptyStrings(name, ['a', 5]),
    () => validate.boolean(name, 'SECRET'),
    () => validate.callback(name, undefined),
    () => validate.oneOf(name, 'SECRET, longer than a word', ['a', 'b']),
    () => validate.oneOf(name, 'rsa', ['a', 'b']),
    () => validate.nonEmptyString(name, Promise.resolve('SECRET')),
    () => validate.plainObject(name, ['SECRET'], {}),
    () => validate.plainObject(name, null, {}),
  ].map(messageOf)
  expect(messages).toEqual([
    'Cache: option must be a whole number from 1, not 0',
    'Cache: option must be a whole number from 1 to 10, not 11',
    'Cache: option must be a whole number of milliseconds from 1 to 2147483647, not a string',
    'Cache: option must be a whole number of milliseconds from 1 to 300000, not NaN',
    'Cache: option must be a non-empty string, not an empty string',
    'Cache: option must be a non-empty string, not an object',
    'Cache: option must be a non-empty array of strings, not an empty array',
    'Cache: option must be a non-empty array of strings, not a string',
    'Cache: option must be a non-empty string, not 5',
    'Cache: option must be true or false, not a string',
    'Cache: option must be a function, not undefined',
    'Cache: option must be one of a, b, not a string',
    'Cache: option must be one of a, b, not "rsa"',
    'Cache: option must be a non-empty string, not a promise: did you forget await?',
    'Cache: option must be an object, not an array',
    'Cache: option must be an object, not null',
  ])
})
