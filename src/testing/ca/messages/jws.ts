import {
  createHash,
  createHmac,
  createPublicKey,
  type KeyObject,
  timingSafeEqual,
  verify as verifySignature,
} from 'node:crypto'
import { messageOf, Problem } from './problem.js'

/** The accepted signature algorithms and the key type of each. RFC 7518 §3.1. */
const algorithms = {
  ES256: { hash: 'sha256', kty: 'EC', crv: 'P-256' },
  ES384: { hash: 'sha384', kty: 'EC', crv: 'P-384' },
  ES512: { hash: 'sha512', kty: 'EC', crv: 'P-521' },
  RS256: { hash: 'sha256', kty: 'RSA', crv: undefined },
} as const

const jwkMembers = { EC: ['crv', 'kty', 'x', 'y'], RSA: ['e', 'kty', 'n'] } as const

/** A JSON object with unchecked members. */
export type Json = Record<string, unknown>

/** A parsed, unverified JWS. RFC 7515 §7.2.2. */
export interface Jws {
  readonly header: Json
  /** Decoded; empty for POST-as-GET (RFC 8555 §6.3). */
  readonly payload: string
  readonly signingInput: Buffer
  readonly signature: Buffer
}

/** A public account key. */
export interface AccountKey {
  readonly key: KeyObject
  readonly kty: 'EC' | 'RSA'
  readonly crv: string | undefined
  /** SHA-256 thumbprint, base64url. RFC 7638. */
  readonly thumbprint: string
}

/**
 * Parses a flattened JWS.
 * @throws Problem malformed
 */
export function parseJws(value: unknown): Jws {
  if (!isJson(value)) throw new Problem('malformed', 'The JWS must be a JSON object')
  const { protected: protectedHeader, payload, signature } = value
  if (typeof protectedHeader !== 'string' || typeof payload !== 'string' || typeof signature !== 'string') {
    throw new Problem('malformed', 'A flattened JWS must have the strings protected, payload and signature')
  }
  if ('header' in value || 'signatures' in value) {
    throw new Problem('malformed', 'The JWS must have no unprotected header and one signature only')
  }
  const header = parseJson(fromBase64url(protectedHeader).toString(), 'The protected header')
  if ('crit' in header || 'b64' in header) throw new Problem('malformed', 'crit and b64 are not supported')
  return {
    header,
    payload: fromBase64url(payload).toString(),
    signingInput: Buffer.from(`${protectedHeader}.${payload}`),
    signature: fromBase64url(signature),
  }
}

/**
 * Parses the public key of a JWK. Other members are ignored.
 * @throws Problem badPublicKey
 */
export function parseJwk(jwk: unknown): AccountKey {
  if (!isJson(jwk) || (jwk.kty !== 'EC' && jwk.kty !== 'RSA')) {
    throw new Problem('badPublicKey', 'The account key must be an EC or RSA key')
  }
  const canonical = Object.fromEntries(jwkMembers[jwk.kty].map((member) => [member, jwk[member]]))
  let key: KeyObject
  try {
    key = createPublicKey({ key: canonical, format: 'jwk' })
  } catch (error) {
    throw new Problem('badPublicKey', `The account key cannot be read: ${messageOf(error)}`)
  }
  if ((key.asymmetricKeyDetails?.modulusLength ?? 2048) < 2048) {
    throw new Problem('badPublicKey', 'An RSA account key must have at least 2048 bits')
  }
  const thumbprint = createHash('sha256').update(JSON.stringify(canonical)).digest('base64url')
  return { key, kty: jwk.kty, crv: jwk.crv as string | undefined, thumbprint }
}

/**
 * Checks the signature of a request. RFC 8555 §6.2.
 * @throws Problem badSignatureAlgorithm or malformed
 */
export function verifyJws(jws: Jws, { key, kty, crv }: AccountKey): void {
  const alg = jws.header.alg
  const algorithm = Object.entries(algorithms).find(([name]) => name === alg)?.[1]
  if (algorithm === undefined || algorithm.kty !== kty || (kty === 'EC' && algorithm.crv !== crv)) {
    throw new Problem('badSignatureAlgorithm', `${String(alg)} is not accepted with this account key`, {
      members: { algorithms: Object.keys(algorithms) },
    })
  }
  const verified = verifySignature(
    algorithm.hash,
    jws.signingInput,
    { key, dsaEncoding: 'ieee-p1363' },
    jws.signature,
  )
  if (!verified) throw new Problem('malformed', 'The signature of the JWS does not verify')
}

/**
 * Checks an external account binding and returns its kid. RFC 8555 §7.3.4.
 * @param macKeys base64url MAC keys by kid
 * @throws Problem malformed, badPublicKey or unauthorized
 */
export function verifyBinding(
  binding: unknown,
  url: string,
  accountKey: AccountKey,
  macKeys: Readonly<Record<string, string>>,
): string {
  const jws = parseJws(binding)
  const { alg, kid } = jws.header
  if (alg !== 'HS256' || 'nonce' in jws.header || jws.header.url !== url) {
    throw new Problem(
      'malformed',
      'A binding must be signed with HS256, for the URL of the request, without a nonce',
    )
  }
  const boundKey = parseJwk(parseJson(jws.payload, 'The payload of the binding'))
  if (boundKey.thumbprint !== accountKey.thumbprint) {
    throw new Problem('malformed', 'The binding is for another account key')
  }
  if (typeof kid !== 'string' || !Object.hasOwn(macKeys, kid)) {
    throw new Problem('unauthorized', 'The external account is not known')
  }
  const mac = createHmac('sha256', Buffer.from(macKeys[kid]!, 'base64url')).update(jws.signingInput).digest()
  if (mac.length !== jws.signature.length || !timingSafeEqual(mac, jws.signature)) {
    throw new Problem('unauthorized', 'The MAC of the external account binding does not verify')
  }
  return kid
}

/**
 * Parses a JSON object.
 * @param subject what the text is; the error message starts with it
 * @throws Problem malformed
 */
export function parseJson(text: string, subject: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Problem('malformed', `${subject} is not JSON: ${messageOf(error)}`)
  }
  if (!isJson(value)) throw new Problem('malformed', `${subject} is not a JSON object`)
  return value
}

/**
 * Decodes unpadded base64url.
 * @throws Problem malformed
 */
export function fromBase64url(text: string): Buffer {
  // Buffer.from would skip invalid characters.
  if (!/^[\w-]*$/.test(text)) throw new Problem('malformed', 'Invalid or padded base64url')
  return Buffer.from(text, 'base64url')
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
