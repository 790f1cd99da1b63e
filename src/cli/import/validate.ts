import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { type BundleFault, decodeBundle } from '../../certificates/certificate-bundle.js'
import { type CertificateDetails, parseCertificate } from '../container/certificate-details.js'

export interface ValidCertificate {
  readonly leafKey: KeyObject
  /** PEM, leaf first. */
  readonly chain: string
  readonly details: CertificateDetails
}

/**
 * Parses a private key and its chain, and checks that they match and that servers can use them. Does not check the
 * hosts or the validity period. If a check fails, returns the reason and how to fix it.
 * @param pem the private key and the chain; of several keys, the first counts
 */
export function validateCertificate(pem: string): ValidCertificate | { readonly reason: string } {
  const data = Buffer.from(pem, 'latin1')
  const bundle = decodeBundle(data)
  if ('fault' in bundle) return { reason: explainFault(pem, bundle.fault) }
  let leafKey: KeyObject
  try {
    leafKey = createPrivateKey(bundle.key)
  } catch {
    return { reason: 'cannot parse the private key' }
  }
  const type = leafKey.asymmetricKeyType
  if (type !== 'ec' && type !== 'rsa')
    return { reason: `the key type ${type} is not supported. Use EC or RSA.` }
  const details = parseCertificate(data)
  if (details.fault === undefined) return { leafKey, chain: bundle.chain, details }
  const leafPublicKey = createPublicKey(leafKey)
  const isMisordered = details.certificate?.chain.some(({ publicKey }) => leafPublicKey.equals(publicKey))
  return {
    reason: isMisordered
      ? 'the certificate of the key is not the first in the chain. Put it first.'
      : details.fault,
  }
}

function explainFault(pem: string, fault: BundleFault): string {
  if (fault === 'no certificate') return 'no certificate in PEM'
  if (fault !== 'no private key') return fault
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(pem)) {
    return 'the private key is encrypted. Decrypt it with openssl pkey.'
  }
  return isDer(pem) ? 'the private key is not in PEM. Convert it with openssl pkey.' : fault
}

/** Returns whether the text starts like a private key in DER: a SEQUENCE whose first element is a one-byte INTEGER. */
const isDer = (text: string): boolean =>
  text.charCodeAt(0) === 0x30 &&
  [2, 3, 4].some((index) => text.charCodeAt(index) === 2 && text.charCodeAt(index + 1) === 1)
