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
/** The holder gives up a lease this long before it expires. */
const marginMs = 5 * second

/** The store's locks: leases, renewed while the holder lives and the store is up, and lost otherwise. */
export class Leases {
  /** Locks acquired after the lease of another holder expired. */
  takenOver = 0
  /** Requests for a lock that another machine held. */
  refused = 0
  lost = 0
  maxHeldMs = 0
  readonly #leases = new Map<string, Lease>()

  private readonly time: Timeline
  private readonly troubles: Troubles

  constructor(time: Timeline, troubles: Troubles) {
    this.time = time
    this.troubles = troubles
  }

  tryAcquire(
    name: string,
    holder: Machine,
    request: (serve: () => void) => Promise<void>,
  ): CertCacheLock | undefined {
    const { now } = this.time
    const current = this.#leases.get(name)
    if (current && current.until > now) {
      this.refused += 1
      return undefined
    }
    if (current) this.takenOver += 1
    const lease: Lease = { holder, since: now, until: now + leaseMs }
    this.#leases.set(name, lease)
    const controller = new AbortController()
    const stop = this.#keepRenewed(lease, () => {
      this.lost += 1
      controller.abort(new LockLostError(`the lock of ${name} is lost`))
    })
    return {
      signal: controller.signal,
      release: () => {
        stop()
        return request(() => {
          if (this.#leases.get(name) !== lease) return
          this.#leases.delete(name)
          this.maxHeldMs = Math.max(this.maxHeldMs, this.time.now - lease.since)
        })
      },
    }
  }

  /** Renews a lease until the returned function is called. */
  #keepRenewed(lease: Lease, onLost: () => void): () => void {
    const { time, troubles } = this
    let cancel = () => {}
    const renew = () => {
      if (!lease.holder.isAlive) return
      if (!troubles.storeIsDown) lease.until = time.now + leaseMs
      const safeUntil = lease.until - marginMs
      const next = time.now + (troubles.storeIsDown ? retryMs : renewEveryMs)
      cancel = next < safeUntil ? time.at(next, renew) : time.at(safeUntil, onLost)
    }
    cancel = time.after(renewEveryMs, renew)
    return () => cancel()
  }
}
