import { LRUCache } from 'lru-cache'
import type { CertCache } from '../cache/cert-cache.js'
import type { Clock } from '../util/clock.js'
import { RateLimiter } from '../util/rate-limiter.js'

/** Reads of all clients together: so many at once, then one each so many ms. */
const burst = 150
const everyMs = 25
/** The same, set aside for clients that ask for little: what others use up is not theirs. */
const reserveBurst = 50
const reserveEveryMs = 100
/** Of one client: a fleet may have many orders under way. */
const clientBurst = 50
const clientEveryMs = 100
/** What is little. A CA validates an order from some five places, with one request or two from each. */
const littleBurst = 10
const littleEveryMs = 2_000
/** Of how many clients, the latest, that is remembered. */
const clients = 1_000

/** Somebody asks for more challenge answers than a CA would. */
export class ChallengeRateExceeded extends Error {}

/**
 * Reads of challenge answers from the store. Anybody can ask for them, and a token that somebody made up can't be told
 * from the CA's: so each key is read once at a time, and at a bounded rate, of which one client gets a part only.
 */
export class RateLimitedChallengeReads {
  readonly #running = new Map<string, Promise<Uint8Array | undefined>>()
  readonly #byClient = new LRUCache<string, { readonly all: RateLimiter; readonly little: RateLimiter }>({
    max: clients,
  })
  readonly #all: RateLimiter
  readonly #reserve: RateLimiter

  private readonly store: CertCache
  private readonly clock: Clock

  constructor(store: CertCache, clock: Clock) {
    this.store = store
    this.clock = clock
    this.#all = new RateLimiter(clock, burst, everyMs)
    this.#reserve = new RateLimiter(clock, reserveBurst, reserveEveryMs)
  }

  /**
   * @param client its address
   * @throws {ChallengeRateExceeded} without a request
   * @throws {StoreError} if the store could not tell
   */
  async get(key: string, client: string): Promise<Uint8Array | undefined> {
    const running = this.#running.get(key)
    if (running) return running
    if (!this.#admits(client)) throw new ChallengeRateExceeded()
    const read = this.store.get(key).finally(() => this.#running.delete(key))
    this.#running.set(key, read)
    return read
  }

  #admits(address: string): boolean {
    const client = neighbourhood(address)
    const own = this.#byClient.get(client) ?? {
      all: new RateLimiter(this.clock, clientBurst, clientEveryMs),
      little: new RateLimiter(this.clock, littleBurst, littleEveryMs),
    }
    this.#byClient.set(client, own)
    if (own.all.waitMs > 0) return false
    const asksLittle = own.little.tryAcquire() === 0
    const admitted = this.#all.tryAcquire() === 0 || (asksLittle && this.#reserve.tryAcquire() === 0)
    if (admitted) own.all.tryAcquire()
    return admitted
  }
}

/** Of an IPv6 address its first 56 bits, which is what one subscriber gets: each has more addresses than can be counted. */
function neighbourhood(address: string): string {
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
