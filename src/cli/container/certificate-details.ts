import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  type BundleFault,
  type BundleId,
  decodeBundle,
  type IdentityFault,
  identityFault,
  keyMatches,
  parseValidity,
} from '../../certificates/certificate-bundle.js'
import { toError } from '../../util/errors.js'
import { replaceControlCharacters } from '../console/format.js'
import { isEncrypted } from './encryption.js'

/** The contents of a stored certificate, without its private key. Text is safe to print on a terminal. */
export interface CertificateDetails {
  readonly fault?: undefined
  /** Leaf first. */
  readonly chain: readonly X509Certificate[]
  /** The leaf's DNS names. */
  readonly names: readonly string[]
  readonly issuer: string
  /** For example `EC P-256` or `RSA 2048`. */
  readonly keyType: string
  readonly serialNumber: string
  /** Milliseconds since the epoch, as `notAfter`. */
  readonly notBefore: number
  readonly notAfter: number
}

export interface InvalidBundle {
  readonly fault: BundleFault | 'encrypted'
  readonly detail?: string
  /** The certificate, if it could be parsed although the bundle is invalid. */
  readonly certificate?: CertificateDetails
}

/**
 * Parses a stored value and checks that the private key matches the leaf. Does not check the validity period or the
 * host.
 */
export function parseCertificate(data: Uint8Array): CertificateDetails | InvalidBundle {
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
      issuer: formatDistinguishedName(leaf.issuer),
      keyType: formatKeyType(leaf),
      serialNumber: leaf.serialNumber,
      ...validity,
    }
    if (!keyMatches(leaf, createPrivateKey(bundle.key))) return { fault: 'key mismatch', certificate }
    return certificate
  } catch (thrown) {
    return { fault: 'unreadable', detail: replaceControlCharacters(toError(thrown).message) }
  }
}

/** Returns why servers cannot use the certificate as this one, or `undefined` if they can. */
export const detailsFault = ({ chain }: CertificateDetails, id: BundleId): IdentityFault | undefined =>
  identityFault(chain[0] as X509Certificate, id)

/**
 * Returns organisation and common name, such as `Let's Encrypt R11`.
 * @param distinguishedName as in `X509Certificate.issuer`: one attribute a line
 */
export function formatDistinguishedName(distinguishedName: string | undefined): string {
  const attribute = (type: string) => new RegExp(`^${type}=(.*)$`, 'm').exec(distinguishedName ?? '')?.[1]
  const name = [attribute('O'), attribute('CN')].filter((value) => value !== undefined).join(' ')
  return replaceControlCharacters(name || 'unnamed')
}

const dnsNames = (leaf: X509Certificate): string[] =>
  [...(leaf.subjectAltName ?? '').matchAll(/DNS:([^,"\s]+)/g)].map(([, name]) =>
    replaceControlCharacters(name as string),
  )

function formatKeyType(leaf: X509Certificate): string {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = leaf.publicKey
  if (type === 'rsa') return `RSA ${details?.modulusLength}`
  if (type !== 'ec') return type ?? 'unknown'
  const curve = details?.namedCurve ?? ''
  return `EC ${{ prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }[curve] ?? curve}`
}
