import type { Clock } from '../util/clock.js'
import { sleep } from '../util/deadline.js'
import type { ClientState } from './http/acme-http.js'

/** Upper bound of a `Retry-After` while polling: ZeroSSL sends 86400 for orders that are ready within seconds. */
const maxRetryAfterMs = 10 * 60_000
/** What the time limit of an order leaves for the next steps after a wait that the CA asked for. */
const reserveMs = 60_000
/** Intervals of our own double up to this, and up to the second if the CA asks for more than it means. */
const maxDelayMs = 5_000
const maxPatientDelayMs = 30_000

export interface PollContext {
  readonly state: ClientState
  readonly clock: Clock
  readonly signal: AbortSignal
  /** No `Retry-After` is honoured beyond this time, so that the last read is not later. Milliseconds since the epoch. */
  readonly lastReadAt: number
  readonly extendDeadline: (until: number) => void
}

/**
 * Reads a resource until it is finished: after 50 ms, then at intervals that double up to 5 s, and not before the CA's
 * `Retry-After` (RFC 8555 section 7.4). One of up to 10 minutes extends the time limit of the order; a longer one is
 * ignored, and the intervals double up to 30 s.
 */
export async function poll<T>(
  first: T,
  read: () => Promise<T>,
  isFinished: (resource: T) => boolean,
  { state, clock, signal, lastReadAt, extendDeadline }: PollContext,
): Promise<T> {
  let current = first
  for (let delayMs = 50; !isFinished(current); delayMs *= 2) {
    const now = clock.now()
    const retryAfterMs = (state.retryAfter ?? 0) - now
    const isHonoured = retryAfterMs > 0 && retryAfterMs <= maxRetryAfterMs
    const ownMs = Math.min(delayMs, retryAfterMs > maxRetryAfterMs ? maxPatientDelayMs : maxDelayMs)
    const waitMs = isHonoured ? Math.max(ownMs, Math.min(retryAfterMs, lastReadAt - now)) : ownMs
    if (isHonoured) extendDeadline(now + waitMs + reserveMs)
    await sleep(waitMs, clock, signal)
    current = await read()
  }
  return current
}
