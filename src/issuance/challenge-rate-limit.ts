import { LRUCache } from 'lru-cache'
import type { Clock } from '../util/clock.js'
import { ChallengeRateLimitError } from '../util/errors.js'
import { RateLimiter } from '../util/rate-limiter.js'
import { SingleFlight } from '../util/single-flight.js'

/** Reads for all clients together: 150 at once, then one every 25 ms. */
const sharedBurst = 150
const sharedIntervalMs = 25
/** Further reads, reserved for light clients: 50 at once, then one every 100 ms. */
const reservedBurst = 50
const reservedIntervalMs = 100
/** Reads for one client. A fleet may have many orders in progress, all validated from the same addresses. */
const clientBurst = 50
const clientIntervalMs = 100
/** Rate of a light client. A CA validates an order from about five addresses, with one or two requests each. */
const lightBurst = 10
const lightIntervalMs = 2_000
/** Number of clients, the most recent, whose rates are tracked. */
const maxClients = 1_000

interface ClientLimits {
  readonly all: RateLimiter
  readonly light: RateLimiter
}

/**
 * Limits the reads of challenge answers. Anyone can request an answer, and only the store shows whether a token is
 * valid. Concurrent reads of a key therefore share one request, the rate of all reads is bounded, and one client can
 * use only part of it.
 */
export class ChallengeRateLimit {
  readonly #reads = new SingleFlight<Uint8Array | undefined>()
  readonly #clients = new LRUCache<string, ClientLimits>({ max: maxClients })
  readonly #clock: Clock
  readonly #shared: RateLimiter
  readonly #reserved: RateLimiter

  constructor(clock: Clock) {
    this.#clock = clock
    this.#shared = new RateLimiter(clock, sharedBurst, sharedIntervalMs)
    this.#reserved = new RateLimiter(clock, reservedBurst, reservedIntervalMs)
  }

  /**
   * Settles as `read()`, or as a running read of the same key.
   * @param client the client's IP address
   * @throws {ChallengeRateLimitError} without a read, if a rate is exceeded
   */
  async share(
    key: string,
    client: string,
    read: () => Promise<Uint8Array | undefined>,
  ): Promise<Uint8Array | undefined> {
    const running = this.#reads.get(key)
    if (running) return running
    if (!this.#tryAdmit(client)) throw new ChallengeRateLimitError()
    return this.#reads.run(key, read)
  }

  #tryAdmit(address: string): boolean {
    const client = networkOf(address)
    const limits = this.#clients.get(client) ?? {
      all: new RateLimiter(this.#clock, clientBurst, clientIntervalMs),
      light: new RateLimiter(this.#clock, lightBurst, lightIntervalMs),
    }
    this.#clients.set(client, limits)
    if (limits.all.waitMs > 0) return false
    const isLight = limits.light.tryAcquire() === 0
    const isAdmitted = this.#shared.tryAcquire() === 0 || (isLight && this.#reserved.tryAcquire() === 0)
    if (isAdmitted) limits.all.tryAcquire()
    return isAdmitted
  }
}

/** Returns the /56 of an IPv6 address, the usual size of one subscriber's network, or an IPv4 address unchanged. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? []
  const before = head.split(':').filter(Boolean)
  const after = tail?.split(':').filter(Boolean) ?? []
  const missing = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)
  const groups = [...before, ...Array<string>(missing).fill('0'), ...after].map((group) =>
    Number.parseInt(group, 16),
  )
  return groups
    .slice(0, 4)
    .map((group, index) => (index < 3 ? group : group & 0xff00).toString(16))
    .join(':')
}
