/** The challenge types that this library answers: http-01 (RFC 8555 section 8.3) and tls-alpn-01 (RFC 8737). */
export type ChallengeType = 'http-01' | 'tls-alpn-01'

/** The only ALPN protocol that a CA offers when it validates tls-alpn-01 (RFC 8737 section 6.2). */
export const acmeTlsProtocol = 'acme-tls/1'

/**
 * Base64url (RFC 8555 section 8.3), up to 128 characters; Let's Encrypt's tokens have 43. A store key made of a token
 * can neither be too long nor be that of another entry.
 */
const tokenPattern = /^[A-Za-z0-9_-]{1,128}$/

export const isToken = (token: string): boolean => tokenPattern.test(token)

/** The answer to a challenge. */
export interface ChallengeAnswer {
  readonly type: ChallengeType
  readonly host: string
  readonly token: string
  /** http-01: the key authorization. tls-alpn-01: private key and certificate in PEM. */
  readonly value: Uint8Array
}
