import type { CertCache } from './cache.js'
import type { Clock } from './clock.js'
import { Pace } from './pace.js'
import { Recent } from './recent.js'

/** Reads of all clients together: so many at once, then one each so many ms. */
const burst = 200
const everyMs = 20
/** Of one client: a CA makes some five requests per order, a fleet of eight orders at a time. */
const clientBurst = 50
const clientEveryMs = 100
/** Of how many clients, the latest, that is remembered. */
const clients = 1_000

/** Somebody asks for more challenge answers than a CA would. */
export class TooManyReads extends Error {}

/**
 * Reads of challenge answers from the store. Anybody can ask for them, and a token that somebody made up can't be told
 * from the CA's: so each key is read once at a time, and at a bounded rate, of which one client gets a part only.
 */
export class ChallengeReads {
  readonly #running = new Map<string, Promise<Uint8Array | undefined>>()
  readonly #byClient = new Recent<Pace>(clients)
  readonly #all: Pace

  constructor(
    private readonly store: CertCache,
    private readonly clock: Clock,
  ) {
    this.#all = new Pace(clock, burst, everyMs)
  }

  /**
   * @param client its address
   * @throws {TooManyReads} without a request
   * @throws {StoreError} if the store could not tell
   */
  async get(key: string, client: string): Promise<Uint8Array | undefined> {
    const running = this.#running.get(key)
    if (running) return running
    if (this.#paceOf(client).take() > 0 || this.#all.take() > 0) throw new TooManyReads()
    const read = this.store.get(key).finally(() => this.#running.delete(key))
    this.#running.set(key, read)
    return read
  }

  #paceOf(client: string): Pace {
    const pace = this.#byClient.get(client) ?? new Pace(this.clock, clientBurst, clientEveryMs)
    this.#byClient.set(client, pace)
    return pace
  }
}
