import { randomBytes } from 'node:crypto'
import { Problem } from './problem.js'

/** The oldest nonces are forgotten above this many, so an endless stream of requests takes no more memory. */
const KEPT = 10_000

/** Single-use anti-replay nonces. RFC 8555 §6.5. */
export class Nonces {
  readonly #open = new Set<string>()
  #refusalsDue = 0

  issue(): string {
    const nonce = randomBytes(16).toString('base64url')
    this.#open.add(nonce)
    if (this.#open.size > KEPT) {
      const [oldest] = this.#open
      if (oldest !== undefined) this.#open.delete(oldest)
    }
    return nonce
  }

  /**
   * Uses the nonce up.
   * @param refusalRate share of valid nonces to refuse, from 0 to 1: at 0.5 every second one
   * @throws Problem badNonce
   */
  redeem(nonce: unknown, refusalRate: number): void {
    if (typeof nonce !== 'string' || !this.#open.delete(nonce)) {
      throw new Problem('badNonce', 'This nonce was not issued here or was used already')
    }
    this.#refusalsDue += refusalRate
    // Ten times 0.1 is a little less than 1.
    if (this.#refusalsDue > 1 - 1e-9) {
      this.#refusalsDue -= 1
      throw new Problem('badNonce', 'This nonce is refused on purpose, as badNonceRate asks')
    }
  }
}
