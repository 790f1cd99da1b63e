import { type Clock, withDeadline } from './clock.js'
import { ClosedError, DeadlineError, HostError, toError } from './errors.js'
import type { HostPolicyFunction } from './hostname.js'

/** For a policy that asks a database; a handshake's own bound ends sooner for those who wait. */
const policyMs = 30_000
/** A policy that hangs must not collect the names of whoever comes meanwhile. */
const mostPending = 1_000

/** The user's host policy, whatever it does: asked for a name once at a time, and never waited for without end. */
export class PolicyGate {
  readonly #pending = new Map<string, Promise<boolean>>()

  constructor(
    private readonly policy: HostPolicyFunction,
    private readonly clock: Clock,
    private readonly closing: AbortSignal,
  ) {}

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
