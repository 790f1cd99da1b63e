import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'
import { StoreError } from '../util/errors.js'

// An encrypted value:
//
//   magic (4) | version (1) | length of the key's id (1) | the key's id | nonce (12) | ciphertext | tag (16)
//
// AES-256-GCM. What comes before the nonce, followed by the cache key, is authenticated with it.

/** `ff` occurs in no UTF-8, so in nothing that is stored in the clear: not in PEM, JSON or key authorizations. */
const magic = Buffer.from([0xff, 0x41, 0x43, 0x43])
const version = 1
const idAt = magic.length + 2
/** 96 random bits (NIST SP 800-38D section 8.2.2); good for 2^32 values under a key (section 8.3). */
const nonceLength = 12
const tagLength = 16

/** Encrypts a value, so that it can be read only under this cache key. */
export function seal(data: Uint8Array, cacheKey: string, keyId: string, key: KeyObject): Uint8Array {
  const header = Buffer.concat([magic, Buffer.from([version, keyId.length]), Buffer.from(keyId, 'latin1')])
  const nonce = randomBytes(nonceLength)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength })
  cipher.setAAD(authenticated(header, cacheKey))
  return Buffer.concat([header, nonce, cipher.update(data), cipher.final(), cipher.getAuthTag()])
}

/**
 * Decrypts what `seal` made.
 * @throws {StoreError} `ERR_STORE_DECRYPT` for everything else
 */
export function open(sealed: Uint8Array, cacheKey: string, keys: ReadonlyMap<string, KeyObject>): Uint8Array {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  if (!bytes.subarray(0, magic.length).equals(magic)) throw failure(cacheKey, 'it is damaged')
  if (bytes[magic.length] !== version) {
    throw failure(cacheKey, 'it is damaged, or in the form of a later version of acme-cert-cache')
  }
  const nonceAt = idAt + (bytes[idAt - 1] ?? 0)
  const bodyAt = nonceAt + nonceLength
  const tagAt = bytes.length - tagLength
  if (tagAt < bodyAt) throw failure(cacheKey, 'it is truncated')
  const keyId = bytes.toString('latin1', idAt, nonceAt)
  const key = keys.get(keyId)
  if (!key) throw failure(cacheKey, `its key, with the id ${JSON.stringify(keyId)}, is not among \`keys\``)
  const options = { authTagLength: tagLength }
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(nonceAt, bodyAt), options)
  decipher.setAAD(authenticated(bytes.subarray(0, nonceAt), cacheKey)).setAuthTag(bytes.subarray(tagAt))
  const data = decipher.update(bytes.subarray(bodyAt, tagAt))
  try {
    decipher.final()
  } catch {
    throw failure(
      cacheKey,
      `it was changed, moved here from another key of the store, or encrypted with another key of the id ${JSON.stringify(keyId)}`,
    )
  }
  return data
}

/** Whether it is certainly no envelope, whole or damaged. Of an empty value nobody can tell. */
export const isPlaintext = (data: Uint8Array): boolean => data.byteLength > 0 && data[0] !== magic[0]

/** The header says its own length, so no other header and cache key lead to the same bytes. */
const authenticated = (header: Uint8Array, cacheKey: string) =>
  Buffer.concat([header, Buffer.from(cacheKey, 'latin1')])

export const failure = (cacheKey: string, why: string): StoreError =>
  new StoreError('ERR_STORE_DECRYPT', `the value of ${cacheKey} can't be decrypted: ${why}`)
