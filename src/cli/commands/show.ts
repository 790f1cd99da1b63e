import { certificateKey } from '../../certificates/storage-layout.js'
import { type Command, stringFlag } from '../console/arguments.js'
import { writePrivateFiles } from '../console/files.js'
import { formatMinute, replaceControlCharacters, timeLeft } from '../console/format.js'
import type { Terminal } from '../console/terminal.js'
import {
  type CertificateDetails,
  detailsFault,
  formatDistinguishedName,
} from '../container/certificate-details.js'
import { connect } from '../container/connection.js'
import { summariseFailure } from '../container/failure-summary.js'
import {
  notFoundError,
  readCertificate,
  type StoredCertificate,
  unusableError,
} from '../container/stored-certificate.js'
import { parseTarget, type Target, targetFlags, targetHelp } from '../flags/target.js'

export const show: Command = {
  usage: 'show HOST [flags]',
  summary: 'Show the names, key, chain, fingerprints and failures of a certificate',
  details: `Never prints the private key. Times are in UTC.
${targetHelp}`,
  operands: [1, 1],
  flags: {
    ...targetFlags,
    'with-key': {
      value: 'FILE',
      help: 'write the private key and chain, as stored, to this file with mode 0600',
    },
    json: { help: 'print one JSON object' },
  },
  async run(args, terminal) {
    const target = parseTarget(args)
    const connection = await connect(args)
    const stored = await readCertificate(connection, target)
    const { data, certificate } = stored
    if (args.flags.json === true) await terminal.printJson(toJson(target, stored))
    else await print(terminal, target, stored)
    if (!certificate || !data) throw await notFoundError(target, connection)
    const file = stringFlag(args, 'with-key')
    if (certificate.fault === 'encrypted' && file === undefined) return 0
    if (certificate.fault !== undefined) throw unusableError(target, certificate.fault)
    if (file !== undefined) {
      await writePrivateFiles({ file, data: Buffer.from(data).toString('latin1') })
      terminal.printNote(`wrote private key and certificate chain to ${file}`)
    }
    const fault = detailsFault(certificate, target.id)
    if (fault !== undefined) throw unusableError(target, fault)
    return 0
  },
}

/** Returns the certificate's details, also from an invalid bundle if they can be parsed. */
const detailsOf = ({ certificate }: StoredCertificate): CertificateDetails | undefined =>
  certificate?.fault === undefined ? certificate : certificate.certificate

function toJson({ host, id }: Target, stored: StoredCertificate) {
  const { certificate, failure } = stored
  const details = detailsOf(stored)
  const encrypted = certificate?.fault === 'encrypted'
  const fault = certificate?.fault ?? (details && detailsFault(details, id)) ?? null
  return {
    host,
    key: certificateKey(id),
    encrypted,
    fault: encrypted ? null : fault,
    names: details?.names ?? null,
    keyType: details?.keyType ?? null,
    keyMatches: details ? certificate?.fault === undefined : null,
    serialNumber: details?.serialNumber ?? null,
    notBefore: details ? new Date(details.notBefore) : null,
    notAfter: details ? new Date(details.notAfter) : null,
    chain:
      details?.chain.map((link, index) => ({
        subject: formatSubject(details, index),
        issuer: formatDistinguishedName(link.issuer),
        notAfter: new Date(link.validTo),
        fingerprint256: link.fingerprint256,
      })) ?? null,
    failure: failure ? summariseFailure(failure) : null,
  }
}

/** Returns a certificate's subject; for the leaf, whose subject may be empty, its first DNS name. */
const formatSubject = ({ names, chain }: CertificateDetails, index: number): string =>
  index === 0 ? (names[0] ?? 'no DNS name') : formatDistinguishedName(chain[index]?.subject)

async function print(terminal: Terminal, target: Target, stored: StoredCertificate) {
  const { certificate, failure, isFailureEncrypted } = stored
  const details = detailsOf(stored)
  const lines: [string, string][] = [
    ['host', target.host],
    ['stored as', certificateKey(target.id)],
  ]
  if (certificate?.fault === 'encrypted') {
    lines.push(['encrypted', 'yes; only programs with the key of EncryptedCertCache can read it'])
  }
  if (details) lines.push(...certificateLines(details, certificate?.fault === undefined))
  if (isFailureEncrypted) lines.push(['failures', 'encrypted'])
  if (failure) {
    lines.push([
      'failures',
      `${failure.failures} in a row; next attempt after ${formatMinute(new Date(failure.retryAt))}`,
    ])
    lines.push(['', replaceControlCharacters(failure.message)])
  }
  if (lines.length === 2) return
  for (const [title, text] of lines) await terminal.printLine(`${title.padEnd(12)}  ${text}`)
}

function certificateLines(details: CertificateDetails, keyMatches: boolean): [string, string][] {
  const { names, keyType, serialNumber, chain } = details
  const [notBefore, notAfter] = [new Date(details.notBefore), new Date(details.notAfter)]
  const left = timeLeft(notAfter, Date.now())
  const validity = `${formatMinute(notBefore)} to ${formatMinute(notAfter)} (${left.startsWith('-') ? `expired ${left.slice(1)} ago` : `${left} left`})`
  return [
    ['names', names.join(', ')],
    [
      'key',
      `${keyType}, ${keyMatches ? 'matches the certificate' : 'does not match the stored private key'}`,
    ],
    ['serial', serialNumber],
    ['valid', validity],
    ...chain.flatMap((link, index): [string, string][] => [
      [
        index === 0 ? 'chain' : '',
        `${formatSubject(details, index)}, issued by ${formatDistinguishedName(link.issuer)}, expires ${formatMinute(new Date(link.validTo))}`,
      ],
      ['', `SHA-256 ${link.fingerprint256}`],
    ]),
  ]
}
