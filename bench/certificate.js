import { KeyObject, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

/** Creates a P-256 key and a self-signed certificate, both PEM. @param {string} host */
export async function makeCertificate(host) {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${host}`,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 90 * 86_400_000),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }])],
  })
  const key = KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'sec1' }).toString()
  return { key, cert: `${certificate.toString('pem')}\n` }
}
