import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { KeyType } from './certificate-id.js'

const generate = promisify(generateKeyPair)

/** Generates a private key in the thread pool: generating an RSA key would block the main thread for about 140 ms. */
export async function generateKey(type: KeyType): Promise<KeyObject> {
  const { privateKey } =
    type === 'rsa-2048'
      ? await generate('rsa', { modulusLength: 2_048 })
      : await generate('ec', { namedCurve: 'P-256' })
  return privateKey
}

/** Exports a private key as PEM in autocert's format: SEC1 for EC keys, PKCS#1 for RSA keys. */
export function exportKey(key: KeyObject): string {
  const type = key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1'
  return key.export({ format: 'pem', type }) as string
}
