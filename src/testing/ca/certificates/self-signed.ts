import * as x509 from '@peculiar/x509'
import { alwaysValid, ecdsaP256, generateKeys, pem, randomSerial } from './issuer.js'
import type { ServerCertificate } from './types.js'

/**
 * Creates a self-signed P-256 server certificate, valid from 2000 to 2099.
 * @param hosts DNS names and IPv4 or IPv6 addresses. Default: `localhost` and `127.0.0.1`.
 */
export async function selfSignedCertificate(
  hosts: readonly string[] = ['localhost', '127.0.0.1'],
): Promise<ServerCertificate> {
  const keys = await generateKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...alwaysValid,
    serialNumber: randomSerial(),
    name: [{ CN: ['ACME test endpoint'] }],
    keys,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        hosts.map((value) => ({ type: /^[\d.]+$|:/.test(value) ? 'ip' : 'dns', value })),
      ),
    ],
  })
  const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return { certificate: pem(certificate), privateKey: `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n` }
}
