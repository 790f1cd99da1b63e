import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { type BundleFault, decodeBundle } from '../../certificates/certificate-bundle.js'
import { type CertificateFacts, factsOf } from '../container/certificate-details.js'

/** What can be stored, or why it can't, in words that help to mend it. */
export type Usable =
  | { readonly leafKey: KeyObject; readonly chain: string; readonly facts: CertificateFacts }
  | { readonly why: string }

export function usable(pem: string): Usable {
  const data = Buffer.from(pem, 'latin1')
  const bundle = decodeBundle(data)
  if ('fault' in bundle) return { why: missing(pem, bundle.fault) }
  let leafKey: KeyObject
  try {
    leafKey = createPrivateKey(bundle.key)
  } catch {
    return { why: 'the private key is damaged' }
  }
  const type = leafKey.asymmetricKeyType
  if (type !== 'ec' && type !== 'rsa') return { why: `a key of type ${type}: servers have EC or RSA ones` }
  const facts = factsOf(data)
  if (facts.fault === undefined) return { leafKey, chain: bundle.chain, facts }
  const mine = createPublicKey(leafKey)
  const isLater = facts.certificate?.chain.some(({ publicKey }) => mine.equals(publicKey))
  return { why: isLater ? 'the key’s certificate is not the first of the chain: put it first' : facts.fault }
}

function missing(pem: string, fault: BundleFault): string {
  if (fault === 'no certificate') return 'no certificate in PEM'
  if (fault !== 'no private key') return fault
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(pem)) {
    return 'the private key is encrypted: decrypt it with openssl pkey'
  }
  return isDer(pem) ? 'the private key is not in PEM: convert it with openssl pkey' : fault
}

/** A sequence that begins with a small number, as private keys in DER do. */
const isDer = (text: string): boolean =>
  text.charCodeAt(0) === 0x30 &&
  [2, 3, 4].some((at) => text.charCodeAt(at) === 2 && text.charCodeAt(at + 1) === 1)
