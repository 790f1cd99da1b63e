import { hkdfSync } from 'node:crypto'

/** A ticket can be used until its key is replaced: at 0:00 and 12:00 UTC. */
const rotationMs = 12 * 3_600_000
/** https://nodejs.org/api/tls.html#serversetticketkeyskeys */
const keyBytes = 48

/** Returns when the current key began to be used, in milliseconds since the epoch. */
export const rotatedAt = (now: number): number => Math.floor(now / rotationMs) * rotationMs

/** Returns when the current key is replaced. */
export const rotatesAt = (now: number): number => rotatedAt(now) + rotationMs

/**
 * Returns the key for session tickets (RFC 5077, RFC 8446 section 4.6.1) at a time. All machines derive the same one from
 * the secret (HKDF, RFC 5869), without a request.
 * @param group each group of servers has other keys, even with the same secret
 */
export const ticketKey = (secret: Uint8Array, group: string, now: number): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', `acme-cert-cache ticket ${group} ${rotatedAt(now)}`, keyBytes))
