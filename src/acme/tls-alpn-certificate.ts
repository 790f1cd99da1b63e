import { createHash, KeyObject, webcrypto } from 'node:crypto'
import { encodeBundle } from '../certificates/certificate-bundle.js'

/** id-pe-acmeIdentifier (RFC 8737 section 6.1). */
const acmeIdentifier = '1.3.6.1.5.5.7.1.31'
/** As autocert has it. */
const lifetimeMs = 24 * 3_600_000

/**
 * The answer to tls-alpn-01 (RFC 8737 section 3): a self-signed certificate for the host with the digest of the
 * key authorization, in the form of a stored certificate.
 *
 * Not acme-client's, which is expired from the start, so that a Go peer would not serve it, and whose key usage
 * TLS 1.2 clients refuse.
 */
export async function makeTlsAlpnCertificate(
  host: string,
  keyAuthorization: string,
  now: number,
): Promise<Uint8Array> {
  const x509 = await import('@peculiar/x509')
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=ACME challenge',
    notBefore: new Date(now),
    notAfter: new Date(now + lifetimeMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }]),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      // An OCTET STRING of 32 bytes, in DER.
      new x509.Extension(acmeIdentifier, true, Buffer.concat([Buffer.of(0x04, digest.length), digest])),
    ],
  })
  return encodeBundle(KeyObject.from(keys.privateKey), certificate.toString('pem'))
}
