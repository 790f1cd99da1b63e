import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'
import { StoreError } from '../../util/errors.js'

// The format of an encrypted value (AES-256-GCM; lengths in bytes):
//
//   magic (4) | version (1) | length of the key id (1) | key id | nonce (12) | ciphertext | tag (16)
//
// The additional authenticated data is everything before the nonce, followed by the cache key.

/** The byte 0xff never occurs in UTF-8, so no unencrypted value (PEM, JSON, a key authorization) starts with it. */
const magic = Buffer.from([0xff, 0x41, 0x43, 0x43])
const version = 1
const keyIdOffset = magic.length + 2
/** A random 96-bit nonce (NIST SP 800-38D section 8.2.2) allows 2^32 values per key (section 8.3). */
const nonceLength = 12
const tagLength = 16

/** Encrypts a value and binds it to its cache key. */
export function seal(data: Uint8Array, cacheKey: string, keyId: string, key: KeyObject): Uint8Array {
  const header = Buffer.concat([magic, Buffer.from([version, keyId.length]), Buffer.from(keyId, 'latin1')])
  const nonce = randomBytes(nonceLength)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength })
  cipher.setAAD(additionalData(header, cacheKey))
  return Buffer.concat([header, nonce, cipher.update(data), cipher.final(), cipher.getAuthTag()])
}

/**
 * Decrypts a value that `seal` returned for the same cache key.
 * @throws {StoreError} `ERR_STORE_DECRYPT` for anything else
 */
export function open(sealed: Uint8Array, cacheKey: string, keys: ReadonlyMap<string, KeyObject>): Uint8Array {
  const fault = (why: string) => new StoreError('ERR_STORE_DECRYPT', `cannot decrypt "${cacheKey}": ${why}`)
  if (isPlaintext(sealed))
    throw fault('the value is not encrypted. Set readPlaintext only during a migration.')
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  if (!bytes.subarray(0, magic.length).equals(magic)) throw fault('the value is damaged')
  if (bytes[magic.length] !== version)
    throw fault('the value is damaged, or was written by a later version of acme-cert-cache')
  const nonceOffset = keyIdOffset + (bytes[keyIdOffset - 1] ?? 0)
  const ciphertextOffset = nonceOffset + nonceLength
  const tagOffset = bytes.length - tagLength
  if (tagOffset < ciphertextOffset) throw fault('the value is truncated')
  const keyId = bytes.toString('latin1', keyIdOffset, nonceOffset)
  const key = keys.get(keyId)
  if (!key) throw fault(`keys contains no key with the id ${JSON.stringify(keyId)}`)
  const nonce = bytes.subarray(nonceOffset, ciphertextOffset)
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength })
  decipher
    .setAAD(additionalData(bytes.subarray(0, nonceOffset), cacheKey))
    .setAuthTag(bytes.subarray(tagOffset))
  const data = decipher.update(bytes.subarray(ciphertextOffset, tagOffset))
  try {
    decipher.final()
  } catch {
    throw fault(
      `the value was changed, copied from another cache key, or encrypted with a different key that has the id ${JSON.stringify(keyId)}`,
    )
  }
  return data
}

/** Returns whether the value cannot be an envelope, even a damaged one. False if it is empty: it may be truncated. */
export const isPlaintext = (data: Uint8Array): boolean => data.byteLength > 0 && data[0] !== magic[0]

/** Unambiguous, because the header contains its own length. */
const additionalData = (header: Uint8Array, cacheKey: string) =>
  Buffer.concat([header, Buffer.from(cacheKey, 'latin1')])
