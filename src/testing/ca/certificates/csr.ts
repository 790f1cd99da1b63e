import type { KeyObject } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { fromBase64url } from '../messages/jws.js'
import { messageOf, Problem } from '../messages/problem.js'

/**
 * Checks a CSR and returns its public key. RFC 8555 §7.4.
 * @param csr base64url of the DER
 * @param hosts the identifiers of the order; the CSR must name exactly these
 * @param accountKey the account's key, which a certificate must not use (RFC 8555 §11.1)
 * @throws Problem badCSR or malformed
 */
export async function checkCsr(
  csr: unknown,
  hosts: readonly string[],
  accountKey: KeyObject,
): Promise<x509.PublicKey> {
  if (typeof csr !== 'string') throw new Problem('malformed', 'finalize requires a csr')
  const request = parse(fromBase64url(csr))
  if (!(await hasValidSignature(request)))
    throw new Problem('badCSR', 'The signature of the CSR does not verify')
  const requested = requestedNames(request)
  const missing = hosts.filter((host) => !requested.has(host))
  const excess = [...requested].filter((name) => !hosts.includes(name))
  if (missing.length > 0 || excess.length > 0) {
    throw new Problem('badCSR', `The CSR lacks [${missing}] and has [${excess}] beyond the order`)
  }
  checkKey(request.publicKey)
  const spki = accountKey.export({ type: 'spki', format: 'der' })
  if (spki.equals(Buffer.from(request.publicKey.rawData))) {
    throw new Problem('badCSR', 'The key of the certificate must not be the account key')
  }
  return request.publicKey
}

function parse(der: Buffer): x509.Pkcs10CertificateRequest {
  try {
    return new x509.Pkcs10CertificateRequest(der)
  } catch (error) {
    throw new Problem('badCSR', `The CSR cannot be read: ${messageOf(error)}`)
  }
}

async function hasValidSignature(request: x509.Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify()
  } catch (error) {
    throw new Problem('badCSR', `The signature of the CSR cannot be checked: ${messageOf(error)}`)
  }
}

/** Returns the names of the SAN and the common name, in lower case. */
function requestedNames(request: x509.Pkcs10CertificateRequest): Set<string> {
  const san = request.extensions.find(
    (extension) => extension instanceof x509.SubjectAlternativeNameExtension,
  )
  const names = san?.names.items ?? []
  const unsupported = names.find(({ type }) => type !== 'dns')
  if (unsupported)
    throw new Problem('badCSR', `The CSR has a name of the unsupported type ${unsupported.type}`)
  const values = [...names.map(({ value }) => value), ...request.subjectName.getField('CN')]
  return new Set(values.map((value) => value.toLowerCase()))
}

function checkKey({ algorithm }: x509.PublicKey): void {
  const { name, namedCurve, modulusLength } = algorithm as {
    name: string
    namedCurve?: string
    modulusLength?: number
  }
  if (name.startsWith('RSA') && (modulusLength ?? 0) >= 2048) return
  if (name === 'ECDSA' && (namedCurve === 'P-256' || namedCurve === 'P-384')) return
  throw new Problem('badCSR', 'The certificate key must be P-256, P-384, or RSA of at least 2048 bits')
}
