import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:tls'
import * as x509 from '@peculiar/x509'
import { messageOf, Problem } from '../messages/problem.js'
import type { ChallengeType } from '../resources/settings.js'

/** The server to validate and the key authorization it must present. RFC 8555 §8.1. */
export interface Validation {
  readonly host: string
  readonly token: string
  readonly keyAuthorization: string
  /** TCP port on 127.0.0.1. */
  readonly port: number
  /** Ends the validation; the problem's detail then contains the signal's reason. */
  readonly signal: AbortSignal
}

/** A key authorization has about 90 bytes. */
const maxBodyBytes = 4096

const acmeIdentifierOid = '1.3.6.1.5.5.7.1.31'

/**
 * Validates a challenge, by its type.
 * @throws Problem connection, tls, unauthorized or incorrectResponse
 */
export const validators: { readonly [T in ChallengeType]: (validation: Validation) => Promise<void> } = {
  'http-01': validateHttp,
  'tls-alpn-01': validateTlsAlpn,
}

/** Validates http-01 without following redirects. RFC 8555 §8.3. */
async function validateHttp(validation: Validation): Promise<void> {
  const { status, body } = await fetchKeyAuthorization(validation)
  if (status !== 200) throw new Problem('unauthorized', `${validation.host} answered with status ${status}`)
  if (body.trimEnd() !== validation.keyAuthorization) {
    throw new Problem('incorrectResponse', `${validation.host} answered with another key authorization`)
  }
}

async function fetchKeyAuthorization({
  host,
  token,
  port,
  signal,
}: Validation): Promise<{ status: number; body: string }> {
  try {
    const outgoing = request({
      host: '127.0.0.1',
      port,
      path: `/.well-known/acme-challenge/${token}`,
      headers: { host },
      agent: false,
      signal,
    })
    // Errors after the response reject its reader, and must not be uncaught here.
    outgoing.on('error', () => undefined)
    outgoing.end()
    const [response] = await once(outgoing, 'response')
    let body = ''
    for await (const chunk of response.setEncoding('utf8')) {
      body += chunk
      if (body.length > maxBodyBytes) throw new Error(`more than ${maxBodyBytes} bytes`)
    }
    return { status: response.statusCode, body }
  } catch (error) {
    throw new Problem('connection', `${host} did not answer over HTTP: ${failureReason(error, signal)}`)
  }
}

/** Validates tls-alpn-01. RFC 8737 §3. */
async function validateTlsAlpn(validation: Validation): Promise<void> {
  const { host, keyAuthorization } = validation
  const { protocol, der } = await fetchCertificate(validation)
  if (protocol !== 'acme-tls/1') {
    throw new Problem('unauthorized', `${host} did not negotiate acme-tls/1 but ${protocol || 'nothing'}`)
  }
  const certificate = parseCertificate(host, der)
  const sans = certificate.getExtensions(x509.SubjectAlternativeNameExtension)
  const names = sans.flatMap((extension) => extension.names.items)
  const [name] = names
  if (names.length !== 1 || name?.type !== 'dns' || name.value.toLowerCase() !== host) {
    throw invalidCertificate(host, 'must have its name as the only subjectAltName')
  }
  const [identifier, ...others] = certificate.getExtensions<x509.Extension>(acmeIdentifierOid)
  if (identifier === undefined || others.length > 0)
    throw invalidCertificate(host, 'must have one acmeIdentifier')
  if (!identifier.critical) throw invalidCertificate(host, 'must have a critical acmeIdentifier')
  const digest = createHash('sha256').update(keyAuthorization).digest()
  // The DER header of an OCTET STRING of 32 bytes.
  if (!Buffer.concat([Buffer.from([0x04, 0x20]), digest]).equals(Buffer.from(identifier.value))) {
    throw invalidCertificate(host, 'has the digest of another key authorization')
  }
  if (!(await isSelfSigned(host, certificate))) throw invalidCertificate(host, 'must be self-signed')
}

async function fetchCertificate({ host, port, signal }: Validation) {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: host,
    ALPNProtocols: ['acme-tls/1'],
    // The certificate is self-signed by design.
    rejectUnauthorized: false,
  })
  let connected = false
  socket.once('connect', () => {
    connected = true
  })
  try {
    await once(socket, 'secureConnect', { signal })
    return { protocol: socket.alpnProtocol, der: socket.getPeerCertificate().raw }
  } catch (error) {
    const type = connected ? 'tls' : 'connection'
    throw new Problem(type, `No TLS handshake with ${host}: ${failureReason(error, signal)}`)
  } finally {
    // A late reset must not end the process.
    socket.on('error', () => undefined)
    socket.destroy()
  }
}

function parseCertificate(host: string, der: Buffer): x509.X509Certificate {
  try {
    return new x509.X509Certificate(der)
  } catch (error) {
    throw invalidCertificate(host, `cannot be read: ${messageOf(error)}`)
  }
}

async function isSelfSigned(host: string, certificate: x509.X509Certificate): Promise<boolean> {
  try {
    return await certificate.isSelfSigned()
  } catch (error) {
    throw invalidCertificate(host, `cannot be verified: ${messageOf(error)}`)
  }
}

function invalidCertificate(host: string, defect: string): Problem {
  return new Problem('incorrectResponse', `The tls-alpn-01 certificate of ${host} ${defect}`)
}

/** Node's abort errors lack the signal's reason. */
function failureReason(error: unknown, signal: AbortSignal): string {
  return messageOf(signal.aborted ? signal.reason : error)
}
