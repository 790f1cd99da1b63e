import type { OptionNames } from '../../../util/validate.js'

/** A challenge type that the CA can validate. RFC 8555 §8.3, RFC 8737 §3. */
export type ChallengeType = 'http-01' | 'tls-alpn-01'

/**
 * Settings that you can change while the CA runs. The CA reads each value when it needs it; it checks the ranges only
 * when it starts.
 */
export interface TestCaSettings {
  /** TCP port on 127.0.0.1 that http-01 validations connect to for every name. Default 80; 1 to 65,535. */
  httpPort: number
  /** TCP port on 127.0.0.1 that tls-alpn-01 validations connect to for every name. Default 443; 1 to 65,535. */
  tlsPort: number
  /** The challenge types of a new authorization, in this order. Default: both. Must not be empty. */
  challengeTypes: readonly ChallengeType[]
  /** Milliseconds from notBefore to notAfter of a leaf, rounded down to a second. Default 90 days, at least 1000. */
  lifetimeMs: number
  /**
   * Share of valid nonces that the CA refuses with badNonce, at even intervals: 0.5 refuses every second one.
   * Default 0; 0 to 1. RFC 8555 §6.5.
   */
  badNonceRate: number
  /** Milliseconds between the client's response to a challenge and its validation. Default 0; 0 to 2,147,483,647. */
  validationDelayMs: number
  /** Milliseconds after which a validation times out. Default 10,000; 1 to 2,147,483,647. */
  validationTimeoutMs: number
  /**
   * Milliseconds that an order stays `processing` after finalize. Default 0: the reply to finalize is the valid order.
   * 0 to 2,147,483,647. RFC 8555 §7.1.6.
   */
  issuanceDelayMs: number
  /**
   * Seconds to send as Retry-After with a pending authorization, a processing challenge and a processing order.
   * Default undefined: no Retry-After. An integer, at least 0. RFC 8555 §7.4 and §7.5.1.
   */
  retryAfter: number | undefined
  /** Whether the CA offers renewalInfo and checks `replaces` in new orders. Default true. RFC 9773. */
  renewalInfo: boolean
  /** Seconds to send as Retry-After with renewalInfo. Default 21,600; an integer, at least 0. RFC 9773 §4.3. */
  renewalRetryAfter: number
  /**
   * The profiles that an order may request, each with its description; they do not affect the certificate.
   * Default undefined: the CA offers none and ignores a requested profile. draft-ietf-acme-profiles.
   */
  profiles: Readonly<Record<string, string>> | undefined
}

const defaultSettings: Readonly<TestCaSettings> = {
  httpPort: 80,
  tlsPort: 443,
  challengeTypes: ['http-01', 'tls-alpn-01'],
  lifetimeMs: 90 * 86_400_000,
  badNonceRate: 0,
  validationDelayMs: 0,
  validationTimeoutMs: 10_000,
  issuanceDelayMs: 0,
  retryAfter: undefined,
  renewalInfo: true,
  renewalRetryAfter: 21_600,
  profiles: undefined,
}

type Rule<T> = readonly [isValid: (value: T) => boolean, expected: string]

const maxDelayMs = 2 ** 31 - 1
const port: Rule<number> = [
  (value) => Number.isInteger(value) && value >= 1 && value <= 65_535,
  'an integer from 1 to 65535',
]
const delay: Rule<number> = [(ms) => ms >= 0 && ms <= maxDelayMs, `a number from 0 to ${maxDelayMs}`]
const isSeconds = (value: number) => Number.isInteger(value) && value >= 0

const rules: { readonly [K in keyof TestCaSettings]: Rule<TestCaSettings[K]> } = {
  httpPort: port,
  tlsPort: port,
  challengeTypes: [
    (types) =>
      Array.isArray(types) &&
      types.length > 0 &&
      types.every((type) => defaultSettings.challengeTypes.includes(type)),
    'a non-empty array of http-01, tls-alpn-01',
  ],
  lifetimeMs: [(ms) => ms >= 1000 && Number.isFinite(ms), 'a finite number, at least 1000'],
  badNonceRate: [(rate) => rate >= 0 && rate <= 1, 'a number from 0 to 1'],
  validationDelayMs: delay,
  validationTimeoutMs: [(ms) => ms >= 1 && ms <= maxDelayMs, `a number from 1 to ${maxDelayMs}`],
  issuanceDelayMs: delay,
  retryAfter: [(value) => value === undefined || isSeconds(value), 'an integer, at least 0'],
  renewalInfo: [(enabled) => typeof enabled === 'boolean', 'true or false'],
  renewalRetryAfter: [isSeconds, 'an integer, at least 0'],
  profiles: [
    (profiles) => profiles === undefined || (typeof profiles === 'object' && profiles !== null),
    'an object',
  ],
}

/** The names of all settings. */
export const settingNames: OptionNames<TestCaSettings> = Object.fromEntries(
  Object.keys(defaultSettings).map((name) => [name, true]),
) as OptionNames<TestCaSettings>

/**
 * Applies the defaults. Ignores other options.
 * @throws RangeError when a value is outside its range
 */
export function resolveSettings(options: Partial<TestCaSettings>): TestCaSettings {
  const settings = { ...defaultSettings }
  for (const key of Object.keys(rules) as (keyof TestCaSettings)[]) applySetting(settings, key, options[key])
  return settings
}

function applySetting<K extends keyof TestCaSettings>(
  settings: TestCaSettings,
  key: K,
  value: TestCaSettings[K] | undefined,
): void {
  if (value === undefined) return
  const [isValid, expected] = rules[key]
  if (!isValid(value)) throw new RangeError(`TestCa.start: ${key} must be ${expected}, not ${String(value)}`)
  settings[key] = value
}
