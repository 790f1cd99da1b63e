import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { encodeBundle } from '../../src/certificates/certificate-bundle.js'

interface CertificateOptions {
  host?: string
  notBefore?: Date
  notAfter?: Date
  keyType?: 'ec' | 'rsa'
  /** Whether only the subject names the host, not the subject alternative name. */
  isOldStyle?: boolean
}

export function makeKey(type: 'ec' | 'rsa' = 'ec'): KeyObject {
  return type === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

/** Creates a self-signed certificate, and the bundle that a store would hold. */
export async function makeBundle(options: CertificateOptions = {}) {
  const key = makeKey(options.keyType)
  const host = options.host ?? 'example.com'
  const algorithm =
    options.keyType === 'rsa'
      ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
      : { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const pkcs8 = key.export({ format: 'der', type: 'pkcs8' })
  const privateKey = await crypto.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign'])
  const {
    d: _,
    dp: _p,
    dq: _q,
    p: _1,
    q: _2,
    qi: _3,
    ...jwk
  } = await crypto.subtle.exportKey('jwk', privateKey)
  const publicKey = await crypto.subtle.importKey('jwk', { ...jwk, key_ops: ['verify'] }, algorithm, true, [
    'verify',
  ])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${host}`,
    notBefore: options.notBefore ?? new Date(Date.now() - 1_000),
    notAfter: options.notAfter ?? new Date(Date.now() + 90 * 86_400_000),
    keys: { privateKey, publicKey },
    signingAlgorithm: algorithm,
    extensions: options.isOldStyle
      ? []
      : [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }])],
  })
  const chain = `${certificate.toString('pem')}\n`
  return { key, chain, data: encodeBundle(key, chain), serialNumber: certificate.serialNumber.toUpperCase() }
}
