import { normalizeHost } from '../certificates/hostname.js'
import type { Clock } from '../util/clock.js'
import { withDeadline } from '../util/deadline.js'
import { ClosedError, DeadlineError, HostError, toError } from '../util/errors.js'

/** Which hosts may have a certificate: a list of names, or a function of the normalised name. */
export type HostPolicy = readonly string[] | ((host: string) => boolean | Promise<boolean>)

export type HostPolicyFunction = (host: string) => boolean | Promise<boolean>

/**
 * The policy as a function. A list is matched exactly: it has no wildcards, which need the dns-01 challenge.
 * @throws {TypeError} for an empty list, or a name in it that can't have a certificate
 */
export function hostPolicyFunction(policy: unknown): HostPolicyFunction {
  if (typeof policy === 'function') return policy as HostPolicyFunction
  if (!Array.isArray(policy)) {
    throw new TypeError(
      'CertManager: hostPolicy must be an array of host names or a function of the host name',
    )
  }
  if (policy.length === 0) throw new TypeError('CertManager: hostPolicy is empty: no host could be served')
  const hosts = new Set(
    policy.map((name) => {
      const host = normalizeHost(name)
      if (host === undefined) {
        throw new TypeError(
          `CertManager: hostPolicy has ${typeof name === 'string' ? JSON.stringify(name) : `a value of type ${typeof name}`}, which is not a DNS name a CA would issue for (no wildcards, IP addresses or single labels)`,
        )
      }
      return host
    }),
  )
  return (host) => hosts.has(host)
}

/** For a policy that asks a database; a handshake's own bound ends sooner for those who wait. */
const policyMs = 30_000
/** A policy that hangs must not collect the names of whoever comes meanwhile. */
const mostPending = 1_000

/** The user's host policy, whatever it does: asked for a name once at a time, and never waited for without end. */
export class PolicyGate {
  readonly #pending = new Map<string, Promise<boolean>>()

  private readonly policy: HostPolicyFunction
  private readonly clock: Clock
  private readonly closing: AbortSignal

  constructor(policy: HostPolicyFunction, clock: Clock, closing: AbortSignal) {
    this.policy = policy
    this.clock = clock
    this.closing = closing
  }

  /** @throws {HostError} without a `cause` if the policy said no, with one if it failed */
  async check(host: string): Promise<void> {
    let allowed: boolean
    try {
      const verdict = this.#pending.get(host) ?? this.#ask(host)
      allowed = typeof verdict === 'boolean' ? verdict : await verdict
    } catch (thrown) {
      if (thrown instanceof ClosedError) throw thrown
      const cause = toError(thrown)
      throw new HostError('ERR_HOST_POLICY', host, `hostPolicy failed for ${host}: ${cause.message}`, {
        cause,
      })
    }
    if (allowed !== true) throw new HostError('ERR_HOST_POLICY', host, `hostPolicy does not allow ${host}`)
  }

  #ask(host: string): boolean | Promise<boolean> {
    // Not asked, either: it may be a database that has too much to do.
    if (this.#pending.size >= mostPending)
      throw new DeadlineError(`${mostPending} other names wait for hostPolicy`)
    const verdict = this.policy(host)
    if (typeof verdict === 'boolean') return verdict
    const { clock, closing } = this
    const error = () => new DeadlineError(`hostPolicy gave no answer within ${policyMs / 1_000} s`)
    const bound = { ms: policyMs, clock, error, signal: closing }
    const pending = withDeadline(async () => verdict, bound).finally(() => this.#pending.delete(host))
    this.#pending.set(host, pending)
    return pending
  }
}
