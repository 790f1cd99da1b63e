/** The challenge types that this library answers: http-01 (RFC 8555 section 8.3) and tls-alpn-01 (RFC 8737). */
export type ChallengeType = 'http-01' | 'tls-alpn-01'

/** The only ALPN protocol that a CA offers when it validates tls-alpn-01 (RFC 8737 section 6.2). */
export const acmeTlsProtocol = 'acme-tls/1'
