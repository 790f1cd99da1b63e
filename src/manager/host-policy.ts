import { explainHost, explainReserved, isReserved, normalizeHost } from '../certificates/hostname.js'
import type { Clock } from '../util/clock.js'
import { withDeadline } from '../util/deadline.js'
import { ClosedError, DeadlineError, HostError, toError } from '../util/errors.js'
import { SingleFlight } from '../util/single-flight.js'
import { invalidOption } from '../util/validate.js'

/** Why a host policy is called, and for whom. */
export interface HostPolicyOccasion {
  /**
   * `handshake`: a TLS handshake, or `getCertificate()`, for a host that is not in memory; `challenge`: a
   * request for a challenge answer in the store; `renewal`: a certificate in memory is due; `ensure`: `ensure()` or
   * `attach()` loads the host's certificate, at once or later, or retries an order that failed.
   */
  readonly reason: 'handshake' | 'challenge' | 'renewal' | 'ensure'
  /**
   * The IP address of the client that caused the call; IPv4 in dotted form. Absent without a client, and for sockets
   * that have no address. An http-01 request has the address that `trustedProxies` of `httpHandler()` leads to.
   */
  readonly remoteAddress?: string
}

/**
 * The hosts that may have a certificate: an array of DNS names, or a function that returns or resolves with `true`
 * for a host that is allowed. The function gets the normalised name: lower case, IDNA in its ASCII form. Concurrent
 * calls for a name are one call, with the first occasion.
 */
export type HostPolicy =
  | readonly string[]
  | ((host: string, occasion: HostPolicyOccasion) => boolean | Promise<boolean>)

export type HostPolicyFunction = Exclude<HostPolicy, readonly string[]>

/** Creates an occasion. @param client the client's IP address */
export const occasionOf = (
  reason: HostPolicyOccasion['reason'],
  client: string | undefined,
): HostPolicyOccasion => (client === undefined ? { reason } : { reason, remoteAddress: client })

/** Returns whether a CA issues no certificates for a host, whatever the policy says. */
export type NameRule = (host: string) => boolean

/** Let's Encrypt issues for public names only. Other CAs may be private ones, which issue for any name. */
export const nameRule = (directoryUrl: string): NameRule =>
  new URL(directoryUrl).hostname.endsWith('.letsencrypt.org') ? isReserved : () => false

/**
 * Returns the policy as a function. An array is matched exactly: wildcards would need the dns-01 challenge.
 * @throws {TypeError} if the array is empty or contains a name that the CA does not issue for
 */
export function hostPolicyFunction(policy: unknown, isRefused: NameRule = () => false): HostPolicyFunction {
  if (typeof policy === 'function') return policy as HostPolicyFunction
  if (!Array.isArray(policy)) {
    throw invalidOption(
      'CertManager: hostPolicy',
      'an array of host names or a function of the host name',
      policy,
    )
  }
  if (policy.length === 0)
    throw new TypeError('CertManager: hostPolicy is an empty array, which allows no host')
  const hosts = new Set<string>(
    policy.map((name) => {
      const host = normalizeHost(name)
      if (host === undefined)
        throw new TypeError(`CertManager: hostPolicy contains an invalid host name: ${explainHost(name)}`)
      if (isRefused(host)) throw new TypeError(`CertManager: hostPolicy: ${explainReserved(host)}`)
      return host
    }),
  )
  return (host) => hosts.has(host)
}

/** Time limit for a policy that returns a promise. */
const policyTimeoutMs = 30_000
/** Bounds the memory that a policy which never settles can use. */
const maxPending = 1_000

/** Guards the user's host policy: concurrent checks of a host share one call, and every check settles. */
export class PolicyGate {
  readonly #calls = new SingleFlight<boolean>()
  readonly #policy: HostPolicyFunction
  readonly #clock: Clock
  readonly #closing: AbortSignal
  readonly #isRefused: NameRule

  constructor(
    policy: HostPolicyFunction,
    clock: Clock,
    closing: AbortSignal,
    isRefused: NameRule = () => false,
  ) {
    this.#isRefused = isRefused
    this.#policy = policy
    this.#clock = clock
    this.#closing = closing
  }

  /**
   * @throws {HostError} `ERR_HOST_NAME` if the CA does not issue for the name; `ERR_HOST_POLICY` if the policy refuses the
   *   host; `ERR_HOST_POLICY_FAILED` if it fails
   */
  async check(host: string, occasion: HostPolicyOccasion): Promise<void> {
    if (this.#isRefused(host))
      throw new HostError('ERR_HOST_NAME', host, `invalid host name: ${explainReserved(host)}`)
    let allowed: boolean
    try {
      const result = this.#calls.get(host) ?? this.#callPolicy(host, occasion)
      allowed = typeof result === 'boolean' ? result : await result
    } catch (thrown) {
      if (thrown instanceof ClosedError) throw thrown
      const cause = toError(thrown)
      throw new HostError(
        'ERR_HOST_POLICY_FAILED',
        host,
        `hostPolicy failed for "${host}": ${cause.message}`,
        {
          cause,
        },
      )
    }
    if (allowed !== true) throw new HostError('ERR_HOST_POLICY', host, `hostPolicy does not allow "${host}"`)
  }

  #callPolicy(host: string, occasion: HostPolicyOccasion): boolean | Promise<boolean> {
    // The policy is not called either: it may query a database that is overloaded.
    if (this.#calls.size >= maxPending)
      throw new DeadlineError(`${maxPending} other hosts are waiting for its answer`)
    const result = this.#policy(host, occasion)
    if (typeof result === 'boolean') return result
    const bound = {
      ms: policyTimeoutMs,
      clock: this.#clock,
      error: 'no answer',
      signal: this.#closing,
    }
    return this.#calls.run(host, () => withDeadline(async () => result, bound))
  }
}
