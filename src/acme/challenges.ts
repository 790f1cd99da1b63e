/** The challenge types this library answers (RFC 8555 section 8.3, RFC 8737). */
export type ChallengeType = 'http-01' | 'tls-alpn-01'

/** The protocol that a CA validating tls-alpn-01 offers, alone (RFC 8737 section 6.2). */
export const acmeTlsProtocol = 'acme-tls/1'

/**
 * Base64url, as RFC 8555 section 8.3 has tokens (22 characters at least, 43 at Let's Encrypt); nothing that could lead
 * to another key of the store, or that is too long a name for one.
 */
const tokenPattern = /^[A-Za-z0-9_-]{1,128}$/

export const isToken = (token: string): boolean => tokenPattern.test(token)

/** What a CA asked for, and the answer it has to find. */
export interface ChallengeAnswer {
  readonly type: ChallengeType
  readonly host: string
  readonly token: string
  /** The key authorization (http-01) or key and certificate in PEM (tls-alpn-01). */
  readonly value: Uint8Array
}
