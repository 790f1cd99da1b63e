import { type CertCacheLock, LockLostError } from '../../src/index.js'
import type { Machine } from './machine.js'
import type { Timeline } from './timeline.js'
import type { Troubles } from './troubles.js'
import { second } from './units.js'

interface Lease {
  readonly holder: Machine
  readonly since: number
  until: number
}

const leaseMs = 30 * second
const renewEveryMs = 10 * second
const retryMs = 2 * second
/** Its holder gives it up before the store does. */
const marginMs = 5 * second

/** The store's locks, as leases: renewed while their holder lives and the store can be reached, lost otherwise. */
export class Leases {
  /** Taken while another machine's had just run out, not been given back. */
  takenOver = 0
  /** Asked for while another machine had it. */
  refused = 0
  lost = 0
  longestMs = 0
  readonly #leases = new Map<string, Lease>()

  private readonly time: Timeline
  private readonly troubles: Troubles

  constructor(time: Timeline, troubles: Troubles) {
    this.time = time
    this.troubles = troubles
  }

  take(
    name: string,
    holder: Machine,
    request: (serve: () => void) => Promise<void>,
  ): CertCacheLock | undefined {
    const { now } = this.time
    const former = this.#leases.get(name)
    if (former && former.until > now) {
      this.refused += 1
      return undefined
    }
    if (former) this.takenOver += 1
    const lease: Lease = { holder, since: now, until: now + leaseMs }
    this.#leases.set(name, lease)
    const lost = new AbortController()
    const stop = this.#keep(lease, () => {
      this.lost += 1
      lost.abort(new LockLostError(`the lock of ${name} is lost`))
    })
    return {
      signal: lost.signal,
      release: () => {
        stop()
        return request(() => {
          if (this.#leases.get(name) !== lease) return
          this.#leases.delete(name)
          this.longestMs = Math.max(this.longestMs, this.time.now - lease.since)
        })
      },
    }
  }

  /** Renews it until the returned function is called. */
  #keep(lease: Lease, onLost: () => void): () => void {
    const { time, troubles } = this
    let cancel = () => {}
    const renew = () => {
      if (!lease.holder.isAlive) return
      if (!troubles.storeIsDown) lease.until = time.now + leaseMs
      const proven = lease.until - marginMs
      const next = time.now + (troubles.storeIsDown ? retryMs : renewEveryMs)
      cancel = next < proven ? time.at(next, renew) : time.at(proven, onLost)
    }
    cancel = time.after(renewEveryMs, renew)
    return () => cancel()
  }
}
