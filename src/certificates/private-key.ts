import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { KeyType } from './storage-layout.js'

const generate = promisify(generateKeyPair)

/** A fresh private key, made off the main thread: RSA would block it for some 140 ms. */
export async function generateKey(type: KeyType): Promise<KeyObject> {
  const { privateKey } =
    type === 'rsa-2048'
      ? await generate('rsa', { modulusLength: 2_048 })
      : await generate('ec', { namedCurve: 'P-256' })
  return privateKey
}

/** A private key in the form autocert writes: SEC1 for EC, PKCS#1 for RSA. */
export function exportKey(key: KeyObject): string {
  const type = key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1'
  return key.export({ format: 'pem', type }) as string
}
