import { createHash, KeyObject, webcrypto } from 'node:crypto'
import { encodeBundle } from '../certificates/certificate-bundle.js'
import { loadX509 } from './dependencies.js'

/** The object identifier of id-pe-acmeIdentifier (RFC 8737 section 6.1). */
const acmeIdentifier = '1.3.6.1.5.5.7.1.31'

/**
 * Creates the answer to a tls-alpn-01 challenge (RFC 8737 section 3): a self-signed certificate for the host that
 * contains the digest of the key authorization. Resolves with key and certificate, encoded as certificates are stored.
 *
 * Replaces acme-client's, which is expired from the start, so that autocert does not serve it, and has a key usage that
 * TLS 1.2 clients reject.
 */
export async function createTlsAlpnCertificate(
  host: string,
  keyAuthorization: string,
  now: number,
): Promise<Uint8Array> {
  const x509 = await loadX509()
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=ACME challenge',
    notBefore: new Date(now),
    // The same lifetime as autocert's.
    notAfter: new Date(now + 24 * 3_600_000),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }]),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      // The digest as a DER OCTET STRING.
      new x509.Extension(acmeIdentifier, true, Buffer.concat([Buffer.of(0x04, digest.length), digest])),
    ],
  })
  return encodeBundle(KeyObject.from(keys.privateKey), certificate.toString('pem'))
}
