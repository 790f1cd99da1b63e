import { randomBytes, type webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { SignedLeaf } from './types.js'

export const ecdsaP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

// The CA's own certificates must be valid at any time of an injected clock.
export const alwaysValid: { readonly notBefore: Date; readonly notAfter: Date } = {
  notBefore: new Date('2000-01-01T00:00:00Z'),
  notAfter: new Date('2099-12-31T23:59:59Z'),
}

/** Signs leaves with an intermediate whose issuer is a root of its own. */
export class Issuer {
  readonly rootCertificate: string
  /** The authority key identifier of the leaves, in upper-case hexadecimal. */
  readonly keyIdentifier: string
  readonly #intermediate: x509.X509Certificate
  readonly #keys: webcrypto.CryptoKeyPair

  private constructor(
    root: x509.X509Certificate,
    intermediate: x509.X509Certificate,
    keys: webcrypto.CryptoKeyPair,
  ) {
    this.rootCertificate = pem(root)
    this.keyIdentifier = intermediate.getExtension(x509.SubjectKeyIdentifierExtension)!.keyId.toUpperCase()
    this.#intermediate = intermediate
    this.#keys = keys
  }

  static async create(): Promise<Issuer> {
    const [rootKeys, keys] = await Promise.all([generateKeys(), generateKeys()])
    // A trust store may hold the roots of two CAs, whose names must differ.
    const id = randomBytes(3).toString('hex')
    const rootName = [{ CN: [`ACME test root ${id}`] }]
    const root = await signCa(rootKeys, rootName, rootKeys, rootName, 1)
    const intermediate = await signCa(keys, [{ CN: [`ACME test intermediate ${id}`] }], rootKeys, rootName, 0)
    return new Issuer(root, intermediate, keys)
  }

  /**
   * Signs a leaf for these hosts. The subject is empty, so the SAN is critical (RFC 5280 §4.2.1.6).
   * @param notBefore milliseconds since the epoch, rounded down to a second
   * @param lifetimeMs milliseconds, rounded down to a second
   */
  async sign(
    hosts: readonly string[],
    publicKey: x509.PublicKey,
    notBefore: number,
    lifetimeMs: number,
  ): Promise<SignedLeaf> {
    const startMs = wholeSeconds(notBefore)
    const notAfter = startMs + wholeSeconds(lifetimeMs)
    const { digitalSignature, keyEncipherment } = x509.KeyUsageFlags
    const isRsa = publicKey.algorithm.name.startsWith('RSA')
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: randomSerial(),
      subject: [],
      issuer: this.#intermediate.subjectName,
      notBefore: new Date(startMs),
      notAfter: new Date(notAfter),
      publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: ecdsaP256,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(isRsa ? digitalSignature | keyEncipherment : digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(
          hosts.map((value) => ({ type: 'dns', value })),
          true,
        ),
        ...(await keyIdentifiers(publicKey, this.#keys)),
      ],
    })
    return {
      serialNumber: leaf.serialNumber.toUpperCase(),
      notBefore: startMs,
      notAfter,
      pem: pem(leaf) + pem(this.#intermediate),
    }
  }
}

async function signCa(
  keys: webcrypto.CryptoKeyPair,
  subject: x509.JsonName,
  issuerKeys: webcrypto.CryptoKeyPair,
  issuer: x509.JsonName,
  pathLength: number,
): Promise<x509.X509Certificate> {
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags
  return x509.X509CertificateGenerator.create({
    ...alwaysValid,
    serialNumber: randomSerial(),
    subject,
    issuer,
    publicKey: keys.publicKey,
    signingKey: issuerKeys.privateKey,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new x509.BasicConstraintsExtension(true, pathLength, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      ...(await keyIdentifiers(keys.publicKey, issuerKeys)),
    ],
  })
}

function keyIdentifiers(
  subject: x509.PublicKeyType,
  issuer: webcrypto.CryptoKeyPair,
): Promise<x509.Extension[]> {
  return Promise.all([
    x509.SubjectKeyIdentifierExtension.create(subject),
    x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
  ])
}

export function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(ecdsaP256, true, ['sign', 'verify'])
}

/** Returns 16 random bytes in hexadecimal; the first is 0x40 to 0x7f, so the DER is positive and 16 bytes long. */
export function randomSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x3f) | 0x40
  return bytes.toString('hex')
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000
}

export function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}
