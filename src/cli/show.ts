import { decodeBundle } from '../certificate.js'
import { type FailureRecord, parseFailureRecord } from '../failure.js'
import { type Command, CommandError, printable, textOf } from './arguments.js'
import { type CertificateFacts, coversHost, factsOf, nameOf } from './certificate-facts.js'
import { type Connection, connect } from './connect.js'
import { writePrivate } from './files.js'
import { type Target, targetFlags, targetOf } from './target.js'
import type { Terminal } from './terminal.js'
import { left, minuteOf } from './times.js'

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
    const { data, facts, failure } = await readCertificate(connection, target)
    const key = target.layout.certificate(target.host)
    if (given.flags.json === true) await terminal.json(describe(target, facts, failure))
    else await print(terminal, target, facts, failure)
    if (!facts || !data) throw missing(target, connection)
    if (facts.fault !== undefined) throw corrupt(key, facts.fault)
    const file = textOf(given, 'with-key')
    if (file !== undefined) {
      await writePrivate({ file, data: Buffer.from(data).toString('latin1') })
      terminal.note(`${file}: private key and chain`)
    }
    if (!coversHost(facts, target.host)) throw corrupt(key, 'another host')
    return 0
  },
}

/** Of a host: what is stored, and what failed. */
export async function readCertificate({ store }: Connection, { host, layout }: Target) {
  const [data, failureData] = await Promise.all([
    store.get(layout.certificate(host)),
    store.get(layout.failure(host)),
  ])
  const facts = data && factsOf(data)
  return { data, facts, failure: failureData && parseFailureRecord(failureData) }
}

/** Of a host for which there must be a sound certificate. */
export async function requireCertificate(connection: Connection, target: Target) {
  const { data, facts } = await readCertificate(connection, target)
  if (!data || !facts) throw missing(target, connection)
  const bundle = decodeBundle(data)
  if (facts.fault !== undefined || 'fault' in bundle) {
    throw corrupt(target.layout.certificate(target.host), facts.fault ?? 'unreadable')
  }
  return { bundle, facts }
}

const missing = ({ host, layout }: Target, { containerName }: Connection) =>
  new CommandError(
    `there is no ${layout.certificate(host)} in container ${containerName}: see what there is with ls; --rsa, --directory and --key-prefix choose another`,
  )

const corrupt = (key: string, fault: string) =>
  new CommandError(`${key} can’t be served: ${fault}; remove it with rm, so that a new one is ordered`)

type Found = Awaited<ReturnType<typeof readCertificate>>['facts']

function describe({ host, layout }: Target, facts: Found, failure: FailureRecord | undefined) {
  const sound = facts?.fault === undefined ? facts : undefined
  return {
    host,
    key: layout.certificate(host),
    fault: facts?.fault ?? null,
    names: sound?.names ?? null,
    keyType: sound?.keyType ?? null,
    keyMatches: sound ? true : facts?.fault === 'key mismatch' ? false : null,
    serialNumber: sound?.serialNumber ?? null,
    notBefore: sound ? new Date(sound.notBefore) : null,
    notAfter: sound ? new Date(sound.notAfter) : null,
    chain:
      sound?.chain.map((certificate) => ({
        subject: nameOf(certificate.subject),
        issuer: nameOf(certificate.issuer),
        notAfter: new Date(certificate.validTo),
        fingerprint256: certificate.fingerprint256,
      })) ?? null,
    failure: failure
      ? { ...failure, message: printable(failure.message), retryAt: new Date(failure.retryAt) }
      : null,
  }
}

async function print(terminal: Terminal, target: Target, facts: Found, failure: FailureRecord | undefined) {
  const lines: [string, string][] = [
    ['host', target.host],
    ['stored as', target.layout.certificate(target.host)],
  ]
  if (facts && facts.fault === undefined) lines.push(...certificateLines(facts))
  if (failure) {
    lines.push([
      'failures',
      `${failure.failures} in a row; not tried before ${minuteOf(new Date(failure.retryAt))}`,
    ])
    lines.push(['', printable(failure.message)])
  }
  if (!facts && !failure) return
  for (const [title, text] of lines) await terminal.line(`${title.padEnd(12)}  ${text}`)
}

function certificateLines(facts: CertificateFacts): [string, string][] {
  const { names, keyType, serialNumber, notBefore, notAfter, chain } = facts
  const valid = `${minuteOf(new Date(notBefore))} to ${minuteOf(new Date(notAfter))}, ${left(new Date(notAfter), Date.now())} left`
  return [
    ['names', names.join(', ')],
    ['key', `${keyType}, matches the certificate`],
    ['serial', serialNumber],
    ['valid', valid],
    ...chain.flatMap((certificate, index): [string, string][] => [
      [
        index === 0 ? 'chain' : '',
        `${index === 0 ? (names[0] ?? 'no name') : nameOf(certificate.subject)}, by ${nameOf(certificate.issuer)}, until ${minuteOf(new Date(certificate.validTo))}`,
      ],
      ['', `SHA-256 ${certificate.fingerprint256}`],
    ]),
  ]
}
