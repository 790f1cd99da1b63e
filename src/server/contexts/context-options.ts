import { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { toError } from '../../util/errors.js'
import { invalidOption, nonEmptyStrings, oneOf } from '../../util/validate.js'
import { crlIssuer, subjectOf } from './der.js'
import { sessionIdContextOf } from './session-id-context.js'

const compressions = ['zlib', 'brotli', 'zstd'] as const

/** What the contexts of a server have beside key and certificate. Node ignores these options of the server under SNI. */
export interface ContextOptions {
  /** The CAs against which client certificates are verified. */
  readonly ca?: string | Buffer | (string | Buffer)[]
  /** Revocation lists of these CAs. */
  readonly crl?: string | Buffer | (string | Buffer)[]
  /** Algorithms, in order of preference (RFC 8879). Node 24.19 and 26.5 have it; versions without it ignore it. */
  readonly certificateCompression?: ('zlib' | 'brotli' | 'zstd')[]
}

type Pem = NonNullable<ContextOptions['ca']>

/** Checked options, and what tells them from others. */
export interface CheckedContextOptions {
  /** The options as Node takes them; `undefined` if there are none. */
  readonly options: ContextOptions | undefined
  /** Equal for equal options. */
  readonly digest: string
}

/**
 * Checks the options of contexts. `createSecureContext` accepts any text as `ca`.
 * @param name the function that takes the options, for messages
 * @throws {TypeError} naming the invalid option
 */
export function checkContextOptions(
  name: string,
  { ca, crl, certificateCompression }: Partial<Record<keyof ContextOptions, unknown>>,
): CheckedContextOptions {
  const certificates = ca === undefined ? [] : parseCertificates(`${name}: ca`, ca)
  const crls = crl === undefined ? [] : blocksOf(`${name}: crl`, crl, 'X509 CRL')
  if (crls.length > 0 && ca === undefined)
    throw new TypeError(`${name}: crl needs ca: the certificates of the CAs that issued the CRLs`)
  const subjects = new Set(certificates.map(({ raw }) => subjectOf(raw).toString('base64')))
  for (const block of crls) assertIssuedByOneOf(`${name}: crl`, block, subjects)
  const compression =
    certificateCompression === undefined
      ? undefined
      : nonEmptyStrings(`${name}: certificateCompression`, certificateCompression).map((algorithm) =>
          oneOf(`${name}: certificateCompression`, algorithm, compressions),
        )
  const options = {
    ...(ca !== undefined && { ca: ca as Pem }),
    ...(crl !== undefined && { crl: crl as Pem }),
    ...(compression && { certificateCompression: compression }),
  }
  assertAccepted(name, options)
  return {
    options: Object.keys(options).length > 0 ? options : undefined,
    digest: [sessionIdContextOf(options), ...(compression ?? [])].join(),
  }
}

function parseCertificates(name: string, value: unknown): X509Certificate[] {
  return blocksOf(name, value, 'CERTIFICATE', '(?:X509 |TRUSTED )?').map((block) => {
    try {
      return new X509Certificate(block)
    } catch (thrown) {
      throw new TypeError(`${name} contains a certificate that cannot be parsed: ${toError(thrown).message}`)
    }
  })
}

function assertIssuedByOneOf(name: string, block: string, subjects: ReadonlySet<string>): void {
  const issuer = crlIssuer(Buffer.from(block.replace(/-----[^-]*-----|\s/g, ''), 'base64'))
  if (issuer === undefined) throw new TypeError(`${name} contains a CRL that cannot be parsed`)
  if (!subjects.has(issuer.toString('base64')))
    throw new TypeError(`${name} contains a CRL whose issuer is none of the certificates in ca`)
}

/** Node checks the rest, such as a CRL that OpenSSL cannot read. */
function assertAccepted(name: string, options: ContextOptions): void {
  try {
    createSecureContext(options as SecureContextOptions)
  } catch (thrown) {
    const { message } = toError(thrown)
    throw new TypeError(`${name}: Node does not accept ${Object.keys(options).join(', ')}: ${message}`)
  }
}

/**
 * Returns the PEM blocks with a label. Every text must contain one: a path instead of the file's content does not.
 * @param prefix a pattern of what else the label may begin with
 */
function blocksOf(name: string, value: unknown, label: string, prefix = ''): string[] {
  const texts: unknown[] = Array.isArray(value) ? value : [value]
  if (texts.length === 0) throw invalidOption(name, 'PEM text, or an array of PEM texts', value)
  return texts.flatMap((text) => {
    if (typeof text !== 'string' && !Buffer.isBuffer(text))
      throw invalidOption(name, 'PEM text (a string or a Buffer), or an array of PEM texts', text)
    const pattern = new RegExp(`-----BEGIN (${prefix}${label})-----[A-Za-z0-9+/=\\s]+-----END \\1-----`, 'g')
    const blocks = text.toString('latin1').match(pattern)
    if (!blocks)
      throw new TypeError(`${name} has no PEM block "${label}": pass the content of the file, not its path`)
    return blocks
  })
}
