/** The challenge types this CA can validate. RFC 8555 §8.3, RFC 8737 §3. */
export type ChallengeType = 'http-01' | 'tls-alpn-01'

/**
 * What may be changed while the CA runs: each value is read at the moment it is needed. Ranges are checked
 * when the CA starts.
 */
export interface TestCaSettings {
  /** TCP port on 127.0.0.1 that http-01 validations connect to, whatever the name. Default 80. */
  httpPort: number
  /** TCP port on 127.0.0.1 that tls-alpn-01 validations connect to, whatever the name. Default 443. */
  tlsPort: number
  /** What a new authorization offers, in this order. Default: both. Not empty. */
  challengeTypes: readonly ChallengeType[]
  /** Milliseconds from notBefore to notAfter of a leaf, cut to whole seconds. Default 90 days, at least 1000. */
  lifetimeMs: number
  /**
   * The share of valid nonces that is refused as badNonce, spread evenly: 0.5 refuses every second one.
   * Default 0, from 0 to 1. RFC 8555 §6.5.
   */
  badNonceRate: number
  /** Milliseconds between the client's answer to a challenge and its validation. Default 0. */
  validationDelayMs: number
  /** Milliseconds after which a validation gives up. Default 10,000, at least 1. */
  validationTimeoutMs: number
  /**
   * Milliseconds an order stays "processing" after finalize. Default 0: the answer to finalize is the
   * valid order. RFC 8555 §7.1.6.
   */
  issuanceDelayMs: number
  /**
   * Seconds to send as Retry-After with a pending authorization, a challenge that is being validated, and an
   * order that is processing. Default undefined: no such header. RFC 8555 §7.4 and §7.5.1.
   */
  retryAfter: number | undefined
  /** Whether the CA suggests when to renew (RFC 9773), and takes `replaces` in orders. Default true. */
  renewalInfo: boolean
  /** Seconds to send as Retry-After with a suggestion. Default 21,600. RFC 9773 §4.3. */
  renewalRetryAfter: number
  /**
   * The profiles that an order may ask for, each with its description; they make no difference to certificates.
   * Default undefined: none are offered, and a profile is passed over. draft-ietf-acme-profiles.
   */
  profiles: Readonly<Record<string, string>> | undefined
}

/** The settings of a CA that was told nothing. */
export const DEFAULT_SETTINGS: Readonly<TestCaSettings> = {
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

const LEGAL: { readonly [K in keyof TestCaSettings]: (value: TestCaSettings[K]) => boolean } = {
  httpPort: isPort,
  tlsPort: isPort,
  challengeTypes: (types) =>
    Array.isArray(types) &&
    types.length > 0 &&
    types.every((type) => DEFAULT_SETTINGS.challengeTypes.includes(type)),
  lifetimeMs: (ms) => ms >= 1000 && Number.isFinite(ms),
  badNonceRate: (rate) => rate >= 0 && rate <= 1,
  validationDelayMs: isDelay,
  validationTimeoutMs: (ms) => isDelay(ms) && ms >= 1,
  issuanceDelayMs: isDelay,
  retryAfter: (seconds) => seconds === undefined || (Number.isInteger(seconds) && seconds >= 0),
  renewalInfo: (offered) => typeof offered === 'boolean',
  renewalRetryAfter: (seconds) => Number.isInteger(seconds) && seconds >= 0,
  profiles: (profiles) => profiles === undefined || (typeof profiles === 'object' && profiles !== null),
}

/**
 * The defaults overlaid with what was given.
 * @throws RangeError when a value is outside its range.
 */
export function checkedSettings(given: Partial<TestCaSettings>): TestCaSettings {
  const settings = { ...DEFAULT_SETTINGS }
  for (const key of Object.keys(LEGAL) as (keyof TestCaSettings)[]) overlay(settings, key, given[key])
  return settings
}

function overlay<K extends keyof TestCaSettings>(
  settings: TestCaSettings,
  key: K,
  value: TestCaSettings[K] | undefined,
): void {
  if (value === undefined) return
  if (!LEGAL[key](value)) throw new RangeError(`${key} cannot be ${String(value)}`)
  settings[key] = value
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535
}

function isDelay(ms: number): boolean {
  return ms >= 0 && ms <= 2 ** 31 - 1
}
