import { LRUCache } from 'lru-cache'
import type { LiveCertificate } from '../certificates/live-certificate.js'
import { renewalPause } from '../certificates/retry-time.js'
import { certificateKey } from '../certificates/storage-layout.js'
import { type Clock, monotonic } from '../util/clock.js'

/** A pause ends at the earlier of two times: the monotonic clock stops while the machine is suspended. */
interface RenewalPause {
  readonly serialNumber: string
  readonly attempts: number
  readonly untilMonotonic: number
  readonly until: number
}

/** The pauses between the renewal attempts of this process, by certificate. */
export class RenewalPauses {
  readonly #pauses: LRUCache<string, RenewalPause>
  readonly #clock: Clock
  readonly #monotonicNow: () => number

  /** @param max maximum number of certificates with a pause; the least recently used are dropped */
  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#monotonicNow = monotonic(clock)
    // Unlike `max`, `maxSize` does not allocate all slots in advance.
    this.#pauses = new LRUCache({ maxSize: max, sizeCalculation: () => 1 })
  }

  /** Returns the end of the pause, in milliseconds since the epoch; 0 if there is none. */
  endOf(live: LiveCertificate): number {
    const pause = this.#pauseOf(live)
    if (!pause) return 0
    return Math.min(pause.until, this.#clock.now() + pause.untilMonotonic - this.#monotonicNow())
  }

  /** Pauses before an attempt begins: for 1 minute, doubled with each attempt, up to `checkEveryMs`. */
  startAttempt(live: LiveCertificate): void {
    const attempts = this.#pauseOf(live)?.attempts ?? 0
    this.extend(live, renewalPause(live, attempts, live.schedule.checkEveryMs), attempts + 1)
  }

  /** Never shortens a pause. */
  extend(live: LiveCertificate, ms: number, attempts?: number): void {
    const current = this.#pauseOf(live)
    this.#pauses.set(certificateKey(live.id), {
      serialNumber: live.serialNumber,
      attempts: attempts ?? current?.attempts ?? 0,
      untilMonotonic: Math.max(current?.untilMonotonic ?? 0, this.#monotonicNow() + ms),
      until: Math.max(current?.until ?? 0, this.#clock.now() + ms),
    })
  }

  #pauseOf({ id, serialNumber }: LiveCertificate): RenewalPause | undefined {
    const pause = this.#pauses.get(certificateKey(id))
    return pause?.serialNumber === serialNumber ? pause : undefined
  }
}
