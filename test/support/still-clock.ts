import type { Clock } from '../../src/index.js'
import { VirtualClock } from './virtual-clock.js'

/**
 * Time that stands still until the test advances it, for managers with real sockets: however busy the machine is, no
 * deadline passes by itself. Pauses of work in progress, such as those between two polls, pass at once.
 */
export class StillClock extends VirtualClock implements Clock {
  override after(ms: number, fn: () => void, options?: { keepAlive?: boolean }): () => undefined {
    if (!options?.keepAlive) return super.after(ms, fn)
    const pause = setTimeout(fn, 0)
    return () => void clearTimeout(pause)
  }
}
