import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:tls'
import * as x509 from '@peculiar/x509'
import { messageOf } from '../messages/jws.js'
import { Problem } from '../messages/problem.js'
import type { ChallengeType } from '../resources/settings.js'

/** Where a validation goes and what it has to find. RFC 8555 §8.1. */
export interface Validation {
  readonly host: string
  readonly token: string
  readonly keyAuthorization: string
  /** TCP port on 127.0.0.1. */
  readonly port: number
  /** Ends the validation with the signal's reason as the error's cause. */
  readonly signal: AbortSignal
}

/** A key authorization has some 90 bytes. */
const MAX_BODY_BYTES = 4096

const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31'

/**
 * How each type of challenge is validated.
 * @throws Problem connection, tls, unauthorized or incorrectResponse
 */
export const VALIDATORS: { readonly [T in ChallengeType]: (validation: Validation) => Promise<void> } = {
  'http-01': validateHttp,
  'tls-alpn-01': validateTlsAlpn,
}

/** RFC 8555 §8.3. Redirects are not followed. */
async function validateHttp(validation: Validation): Promise<void> {
  const { status, body } = await fetchAnswer(validation)
  if (status !== 200) throw new Problem('unauthorized', `${validation.host} answered with status ${status}`)
  if (body.trimEnd() !== validation.keyAuthorization) {
    throw new Problem('incorrectResponse', `${validation.host} answered with another key authorization`)
  }
}

async function fetchAnswer({
  host,
  token,
  port,
  signal,
}: Validation): Promise<{ status: number; body: string }> {
  try {
    const get = request({
      host: '127.0.0.1',
      port,
      path: `/.well-known/acme-challenge/${token}`,
      headers: { host },
      agent: false,
      signal,
    })
    // After the response has come, an error reaches its reader too.
    get.on('error', () => undefined)
    get.end()
    const [response] = await once(get, 'response')
    let body = ''
    for await (const chunk of response.setEncoding('utf8')) {
      body += chunk
      if (body.length > MAX_BODY_BYTES) throw new Error(`more than ${MAX_BODY_BYTES} bytes`)
    }
    return { status: response.statusCode, body }
  } catch (error) {
    throw new Problem('connection', `${host} gave no answer over HTTP: ${reason(error, signal)}`)
  }
}

/** RFC 8737 §3. */
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
    throw refusal(host, 'must have its name as the only subjectAltName')
  }
  const [identifier, ...others] = certificate.getExtensions<x509.Extension>(ACME_IDENTIFIER)
  if (identifier === undefined || others.length > 0) throw refusal(host, 'must have one acmeIdentifier')
  if (!identifier.critical) throw refusal(host, 'must have a critical acmeIdentifier')
  const digest = createHash('sha256').update(keyAuthorization).digest()
  // An OCTET STRING of 32 bytes.
  if (!Buffer.concat([Buffer.from([0x04, 0x20]), digest]).equals(Buffer.from(identifier.value))) {
    throw refusal(host, 'has the digest of another key authorization')
  }
  if (!(await isSelfSigned(host, certificate))) throw refusal(host, 'must be self-signed')
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
    throw new Problem(type, `No TLS handshake with ${host}: ${reason(error, signal)}`)
  } finally {
    // A reset that comes after the verdict must not end the process.
    socket.on('error', () => undefined)
    socket.destroy()
  }
}

function parseCertificate(host: string, der: Buffer): x509.X509Certificate {
  try {
    return new x509.X509Certificate(der)
  } catch (error) {
    throw refusal(host, `cannot be read: ${messageOf(error)}`)
  }
}

async function isSelfSigned(host: string, certificate: x509.X509Certificate): Promise<boolean> {
  try {
    return await certificate.isSelfSigned()
  } catch (error) {
    throw refusal(host, `cannot be verified: ${messageOf(error)}`)
  }
}

function refusal(host: string, what: string): Problem {
  return new Problem('incorrectResponse', `The tls-alpn-01 certificate of ${host} ${what}`)
}

/** Node reports an abort without saying why. */
function reason(error: unknown, signal: AbortSignal): string {
  return messageOf(signal.aborted ? signal.reason : error)
}
