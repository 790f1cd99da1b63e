import { randomBytes } from 'node:crypto'
import { Problem } from './problem.js'

/** Bounds the memory that requests can use; beyond it the oldest nonce expires. */
const maxOpenNonces = 10_000

/** Issues and redeems single-use nonces. RFC 8555 §6.5. */
export class Nonces {
  readonly #open = new Set<string>()
  #refusalsDue = 0

  issue(): string {
    const nonce = randomBytes(16).toString('base64url')
    this.#open.add(nonce)
    if (this.#open.size > maxOpenNonces) {
      const [oldest] = this.#open
      if (oldest !== undefined) this.#open.delete(oldest)
    }
    return nonce
  }

  /**
   * Redeems a nonce, which is then no longer valid.
   * @param refusalRate share of valid nonces to refuse, from 0 to 1; 0.5 refuses every second one
   * @throws Problem badNonce
   */
  redeem(nonce: unknown, refusalRate: number): void {
    if (typeof nonce !== 'string' || !this.#open.delete(nonce)) {
      throw new Problem('badNonce', 'This nonce was not issued here or was used already')
    }
    this.#refusalsDue += refusalRate
    // In floating point, ten times 0.1 is slightly less than 1.
    if (this.#refusalsDue > 1 - 1e-9) {
      this.#refusalsDue -= 1
      throw new Problem('badNonce', 'This valid nonce is refused on purpose, because of badNonceRate')
    }
  }
}
