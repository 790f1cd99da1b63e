import { KeyObject } from 'node:crypto'
import * as x509 from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const makeKeys = () => crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
const day = 86_400_000

/** A CA that issues client certificates and revokes them. */
export async function makeClientCa(name: string) {
  const keys = await makeKeys()
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  })
  return {
    /** In PEM. */
    root: root.toString('pem'),
    /** Issues a certificate to a client. */
    async issue(client: string, serialNumber: string) {
      const clientKeys = await makeKeys()
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber,
        subject: `CN=${client}`,
        issuer: root.subject,
        notBefore: new Date(Date.now() - day),
        notAfter: new Date(Date.now() + day),
        publicKey: clientKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
      })
      const key = KeyObject.from(clientKeys.privateKey).export({ format: 'pem', type: 'pkcs8' })
      return { key, cert: certificate.toString('pem') }
    },
    /** Lists the certificates that are revoked, in PEM. */
    async revoke(...serialNumbers: string[]) {
      const crl = await x509.X509CrlGenerator.create({
        issuer: root.subject,
        thisUpdate: new Date(Date.now() - day),
        nextUpdate: new Date(Date.now() + day),
        entries: serialNumbers.map((serialNumber) => ({ serialNumber, revocationDate: new Date() })),
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
      })
      // OpenSSL's label.
      return crl.toString('pem').replaceAll(' CRL-', ' X509 CRL-')
    },
  }
}
