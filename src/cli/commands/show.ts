import { type CertificateBundle, decodeBundle } from '../../certificates/certificate-bundle.js'
import { type FailureRecord, parseFailureRecord } from '../../issuance/failure-records.js'
import { type Command, CommandError, printable, textOf } from '../console/arguments.js'
import { writePrivate } from '../console/files.js'
import type { Terminal } from '../console/terminal.js'
import { left, minuteOf } from '../console/format.js'
import {
  type CertificateFacts,
  coversHost,
  factsOf,
  nameOf,
  type Unreadable,
} from '../container/certificate-details.js'
import { type Connection, connect } from '../container/connection.js'
import { isEncrypted } from '../container/encryption.js'
import { failureFacts } from '../ls/rows.js'
import { type Target, targetFlags, targetOf } from '../flags/target.js'

export const show: Command = {
  usage: 'show HOST [flags]',
  summary: 'a certificate: names, chain, fingerprint, whether the key matches, its failures',
  details: 'Never prints the private key. Times are in UTC.',
  operands: [1, 1],
  flags: {
    ...targetFlags,
    'with-key': { value: 'FILE', help: 'write key and chain, as stored, to this file, with mode 0600' },
    json: { help: 'one JSON object' },
  },
  async run(given, terminal) {
    const target = targetOf(given)
    const connection = await connect(given)
    const found = await readCertificate(connection, target)
    const { data, facts } = found
    const key = target.layout.certificate(target.host)
    if (given.flags.json === true) await terminal.json(describe(target, found))
    else await print(terminal, target, found)
    if (!facts || !data) throw missing(target, connection)
    const file = textOf(given, 'with-key')
    if (facts.fault === 'encrypted' && file === undefined) return 0
    if (facts.fault !== undefined) throw unusable(key, facts.fault)
    if (file !== undefined) {
      await writePrivate({ file, data: Buffer.from(data).toString('latin1') })
      terminal.note(`${file}: private key and chain`)
    }
    if (!coversHost(facts, target.host)) throw unusable(key, 'another host')
    return 0
  },
}

interface StoredCertificate {
  readonly data: Uint8Array | undefined
  readonly facts: CertificateFacts | Unreadable | undefined
  readonly failure: FailureRecord | undefined
  readonly isFailureEncrypted: boolean
}

/** Of a host: what is stored, and what failed. */
export async function readCertificate(
  { store }: Connection,
  { host, layout }: Target,
): Promise<StoredCertificate> {
  const [data, failureData] = await Promise.all([
    store.get(layout.certificate(host)),
    store.get(layout.failure(host)),
  ])
  const facts = data && factsOf(data)
  return {
    data,
    facts,
    failure: failureData && parseFailureRecord(failureData),
    isFailureEncrypted: isEncrypted(failureData),
  }
}

/** Of a host for which there must be a sound certificate. */
export async function requireCertificate(
  connection: Connection,
  target: Target,
): Promise<{ bundle: CertificateBundle; facts: CertificateFacts }> {
  const { data, facts } = await readCertificate(connection, target)
  if (!data || !facts) throw missing(target, connection)
  const bundle = decodeBundle(data)
  if (facts.fault !== undefined || 'fault' in bundle) {
    throw unusable(target.layout.certificate(target.host), facts.fault ?? 'unreadable')
  }
  return { bundle, facts }
}

const missing = ({ host, layout }: Target, { containerName }: Connection) =>
  new CommandError(
    `there is no ${layout.certificate(host)} in container ${containerName}: see what there is with ls; --rsa, --directory and --key-prefix choose another`,
  )

const unusable = (key: string, fault: string) =>
  new CommandError(
    fault === 'encrypted'
      ? `${key} is encrypted: get it through an EncryptedCertCache, in a program that has the key`
      : `${key} can’t be served: ${fault}; remove it with rm, so that a new one is ordered`,
  )

type Found = Awaited<ReturnType<typeof readCertificate>>

/** What is known of it, whatever is the matter with it. */
const certificateOf = ({ facts }: Found): CertificateFacts | undefined =>
  facts?.fault === undefined ? facts : facts.certificate

function describe({ host, layout }: Target, found: Found) {
  const { facts, failure } = found
  const certificate = certificateOf(found)
  const encrypted = facts?.fault === 'encrypted'
  const fault = facts?.fault ?? (certificate && !coversHost(certificate, host) ? 'another host' : null)
  return {
    host,
    key: layout.certificate(host),
    encrypted,
    fault: encrypted ? null : fault,
    names: certificate?.names ?? null,
    keyType: certificate?.keyType ?? null,
    keyMatches: certificate ? facts?.fault === undefined : null,
    serialNumber: certificate?.serialNumber ?? null,
    notBefore: certificate ? new Date(certificate.notBefore) : null,
    notAfter: certificate ? new Date(certificate.notAfter) : null,
    chain:
      certificate?.chain.map((link, index) => ({
        subject: subjectOf(certificate, index),
        issuer: nameOf(link.issuer),
        notAfter: new Date(link.validTo),
        fingerprint256: link.fingerprint256,
      })) ?? null,
    failure: failure ? failureFacts(failure) : null,
  }
}

/** A leaf has its names elsewhere. */
const subjectOf = ({ names, chain }: CertificateFacts, index: number): string =>
  index === 0 ? (names[0] ?? 'no name') : nameOf(chain[index]?.subject)

async function print(terminal: Terminal, target: Target, found: Found) {
  const { facts, failure, isFailureEncrypted } = found
  const certificate = certificateOf(found)
  const lines: [string, string][] = [
    ['host', target.host],
    ['stored as', target.layout.certificate(target.host)],
  ]
  if (facts?.fault === 'encrypted') lines.push(['encrypted', 'only servers that have the key can read it'])
  if (certificate) lines.push(...certificateLines(certificate, facts?.fault === undefined))
  if (isFailureEncrypted) lines.push(['failures', 'encrypted'])
  if (failure) {
    lines.push([
      'failures',
      `${failure.failures} in a row; not tried before ${minuteOf(new Date(failure.retryAt))}`,
    ])
    lines.push(['', printable(failure.message)])
  }
  if (lines.length === 2) return
  for (const [title, text] of lines) await terminal.line(`${title.padEnd(12)}  ${text}`)
}

function certificateLines(facts: CertificateFacts, keyMatches: boolean): [string, string][] {
  const { names, keyType, serialNumber, notBefore, notAfter, chain } = facts
  const valid = `${minuteOf(new Date(notBefore))} to ${minuteOf(new Date(notAfter))}, ${left(new Date(notAfter), Date.now())} left`
  return [
    ['names', names.join(', ')],
    ['key', `${keyType}, ${keyMatches ? 'matches the certificate' : 'stored with another’s private key'}`],
    ['serial', serialNumber],
    ['valid', valid],
    ...chain.flatMap((certificate, index): [string, string][] => [
      [
        index === 0 ? 'chain' : '',
        `${subjectOf(facts, index)}, by ${nameOf(certificate.issuer)}, until ${minuteOf(new Date(certificate.validTo))}`,
      ],
      ['', `SHA-256 ${certificate.fingerprint256}`],
    ]),
  ]
}
