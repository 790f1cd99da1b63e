import { LRUCache } from 'lru-cache'
import type { Clock } from '../../util/clock.js'
import { ChallengeRateLimitError } from '../../util/errors.js'
import { RateLimiter } from '../../util/rate-limiter.js'
import { SingleFlight } from '../../util/single-flight.js'

interface ClientLimits {
  readonly all: RateLimiter
  readonly light: RateLimiter
}

/**
 * Limits the reads of challenge answers. Anyone can request an answer, and only the store shows whether a token is
 * valid. Concurrent reads of a key therefore share one read, the rate of all reads is bounded, and one client can
 * use only part of it.
 */
export class ChallengeRateLimit {
  readonly #reads = new SingleFlight<Uint8Array | undefined>()
  /** The rates of the 1,000 most recent clients. */
  readonly #clients = new LRUCache<string, ClientLimits>({ max: 1_000 })
  readonly #clock: Clock
  readonly #shared: RateLimiter
  readonly #reserved: RateLimiter

  constructor(clock: Clock) {
    this.#clock = clock
    // For all clients together: 150 reads at once, then one every 25 ms.
    this.#shared = new RateLimiter(clock, 150, 25)
    // Further reads, reserved for light clients: 50 at once, then one every 100 ms.
    this.#reserved = new RateLimiter(clock, 50, 100)
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
      // A fleet may have many orders in progress, all validated from the same addresses.
      all: new RateLimiter(this.#clock, 50, 100),
      // A CA validates an order from about five addresses, with one or two requests each.
      light: new RateLimiter(this.#clock, 10, 2_000),
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
