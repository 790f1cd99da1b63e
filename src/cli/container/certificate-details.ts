import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  type BundleFault,
  decodeBundle,
  keyMatches,
  parseValidity,
} from '../../certificates/certificate-bundle.js'
import { toError } from '../../util/errors.js'
import { printable } from '../console/arguments.js'
import { isEncrypted } from './encryption.js'

/** What a stored certificate says, its private key apart. Times in milliseconds since the epoch. */
export interface CertificateFacts {
  readonly fault?: undefined
  readonly chain: readonly X509Certificate[]
  /** The DNS names in it. */
  readonly names: readonly string[]
  readonly issuer: string
  readonly keyType: string
  readonly serialNumber: string
  readonly notBefore: number
  readonly notAfter: number
}

export interface Unreadable {
  readonly fault: BundleFault | 'encrypted'
  readonly detail?: string
  /** What the certificate says all the same. */
  readonly certificate?: CertificateFacts
}

/** What is not a certificate and its own key. Whether it is valid now, and for which host, is another question. */
export function factsOf(data: Uint8Array): CertificateFacts | Unreadable {
  if (isEncrypted(data)) return { fault: 'encrypted' }
  const bundle = decodeBundle(data)
  if ('fault' in bundle) return bundle
  try {
    const chain = bundle.chain
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .map((block) => new X509Certificate(block))
    const leaf = chain[0] as X509Certificate
    const validity = parseValidity(leaf)
    if (!validity) return { fault: 'unreadable' }
    const certificate = {
      chain,
      names: dnsNames(leaf),
      issuer: nameOf(leaf.issuer),
      keyType: keyTypeOf(leaf),
      serialNumber: leaf.serialNumber,
      ...validity,
    }
    if (!keyMatches(leaf, createPrivateKey(bundle.key))) return { fault: 'key mismatch', certificate }
    return certificate
  } catch (thrown) {
    return { fault: 'unreadable', detail: printable(toError(thrown).message) }
  }
}

export const coversHost = ({ chain }: CertificateFacts, host: string): boolean =>
  chain[0]?.checkHost(host, { subject: 'never' }) !== undefined

/** `Let's Encrypt R11` of a distinguished name as Node shows it, a line for each part. */
export function nameOf(distinguishedName: string | undefined): string {
  const part = (type: string) => new RegExp(`^${type}=(.*)$`, 'm').exec(distinguishedName ?? '')?.[1]
  const name = [part('O'), part('CN')].filter((value) => value !== undefined).join(' ')
  return printable(name || 'unnamed')
}

const dnsNames = (leaf: X509Certificate): string[] =>
  [...(leaf.subjectAltName ?? '').matchAll(/DNS:([^,"\s]+)/g)].map(([, name]) => printable(name as string))

function keyTypeOf(leaf: X509Certificate): string {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = leaf.publicKey
  if (type === 'rsa') return `RSA ${details?.modulusLength}`
  if (type !== 'ec') return type ?? 'unknown'
  const curve = details?.namedCurve ?? ''
  return `EC ${{ prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }[curve] ?? curve}`
}
