import { isLostRace } from '../../cache/service-errors.js'
import type { Command } from '../console/arguments.js'
import { confirmRemoval } from '../console/confirm-removal.js'
import { formatCount, formatMinute } from '../console/format.js'
import type { Terminal } from '../console/terminal.js'
import { parseCertificate } from '../container/certificate-details.js'
import { type Connection, connect } from '../container/connection.js'
import { type ClassifiedEntry, classifyEntry } from '../container/entries.js'
import { mapInOrder } from '../container/map-in-order.js'
import { conflictCode, serviceCode } from '../container/service-code.js'
import { optionalCaFlags, selectOptionalCa } from '../flags/ca.js'
import { connectionFlags } from '../flags/connection.js'

/** How many blobs are checked at once. */
const concurrency = 16
/** Servers may still use younger blobs. */
const minChallengeAgeMs = 86_400_000
const minLockAgeMs = 60_000
const minProbeAgeMs = 3_600_000

interface StaleBlob {
  readonly item: ClassifiedEntry
  readonly reason: string
}

export const clean: Command = {
  usage: 'clean [flags]',
  summary: 'Remove expired certificates and leftover challenge answers, locks and test blobs',
  details: `Removes expired certificates, challenge answers older than a day, locks older than a minute without a holder, and blobs
older than an hour that doctor left behind. Lists them first, and asks for confirmation; without a terminal, pass --yes.
Checks each blob again before it removes it, and keeps a blob that a server uses again. Covers all CAs, unless
--directory or --key-prefix selects one.`,
  operands: [0, 0],
  flags: {
    ...connectionFlags,
    ...optionalCaFlags,
    yes: { help: 'remove without a confirmation prompt' },
    'dry-run': { help: 'list the blobs, and remove nothing' },
  },
  async run(args, terminal) {
    const ca = selectOptionalCa(args)
    const connection = await connect(args)
    const staleBlobs = await findStaleBlobs(connection, terminal, ca)
    for (const { item, reason } of staleBlobs) await terminal.printLine(`${item.entry.name}  ${reason}`)
    if (staleBlobs.length === 0) terminal.printNote('nothing to remove')
    if (staleBlobs.length === 0 || args.flags['dry-run'] === true) return 0
    const question = `Remove ${formatCount(staleBlobs.length, 'blob')} from container "${connection.containerName}"?`
    if (!(await confirmRemoval(question, args.flags.yes === true, terminal))) return 1
    let removed = 0
    for (const { item } of staleBlobs) {
      const skipReason = await removeIfStale(item, connection)
      if (skipReason === undefined) removed += 1
      else terminal.printNote(`skipped ${item.entry.name}: ${skipReason}`)
    }
    terminal.printNote(`removed ${formatCount(removed, 'blob')}`)
    return 0
  },
}

async function findStaleBlobs(
  connection: Connection,
  terminal: Terminal,
  ca: string | undefined,
): Promise<StaleBlob[]> {
  const staleBlobs: StaleBlob[] = []
  let blobs = 0
  const check = async (item: ClassifiedEntry) => ({
    item,
    reason: await staleReason(item, item.entry.modified, connection).catch((thrown: unknown) => {
      const code = conflictCode(thrown)
      if (code === undefined) throw thrown
      terminal.printNote(`skipped ${item.entry.name}: the service does not return the blob (${code})`)
      return undefined
    }),
  })
  for await (const { item, reason } of mapInOrder(listEntries(connection, ca), concurrency, check)) {
    blobs += 1
    terminal.showProgress(() => `checked ${formatCount(blobs, 'blob')} …`)
    if (reason !== undefined) staleBlobs.push({ item, reason })
  }
  return staleBlobs
}

async function* listEntries({ store }: Connection, ca: string | undefined): AsyncGenerator<ClassifiedEntry> {
  for await (const entry of store.list()) {
    const item = classifyEntry(entry, ca)
    if (ca === undefined || item.ca === ca) yield item
  }
}

/** Returns why the blob can be removed, for the user; `undefined` if it must be kept. */
async function staleReason(
  { entry, content }: ClassifiedEntry,
  modified: Date,
  { store, getBlobState }: Connection,
): Promise<string | undefined> {
  const ageMs = Date.now() - modified.getTime()
  switch (content.kind) {
    case 'certificate': {
      const data = await store.get(entry.name)
      const certificate = data && parseCertificate(data)
      if (!certificate || certificate.fault !== undefined) return undefined
      if (certificate.notAfter > Date.now()) return undefined
      return `certificate, expired ${formatMinute(new Date(certificate.notAfter))}`
    }
    case 'http-01':
    case 'tls-alpn-01':
      return ageMs > minChallengeAgeMs
        ? `${content.kind} challenge answer, written ${formatMinute(modified)}`
        : undefined
    case 'lock':
      if (ageMs <= minLockAgeMs || (await getBlobState(entry.name))?.isLeased !== false) return undefined
      return `lock without a holder, written ${formatMinute(modified)}`
    case 'probe':
      return ageMs > minProbeAgeMs ? `test blob of doctor, written ${formatMinute(modified)}` : undefined
    default:
      return undefined
  }
}

const inUse = 'a server uses it again'

/**
 * Removes a blob unless a server has used it since it was listed, for example during the prompt. Returns why it was
 * skipped, or `undefined` if it was removed.
 */
async function removeIfStale(item: ClassifiedEntry, connection: Connection): Promise<string | undefined> {
  const { name } = item.entry
  const state = await connection.getBlobState(name)
  if (!state) return 'it no longer exists'
  if ((await staleReason(item, state.modified, connection)) === undefined) return inUse
  try {
    await connection.deleteIfUnchanged(name, state)
    return undefined
  } catch (thrown) {
    if (!isLostRace(thrown)) throw thrown
    const code = serviceCode(thrown)
    return refusalReasons[code] ?? `the service refuses to delete it (${code})`
  }
}

/** https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes */
const refusalReasons: Readonly<Record<string, string>> = {
  ConditionNotMet: inUse,
  LeaseIdMissing: 'a client holds a lease on it',
  BlobImmutableDueToPolicy: 'an immutability policy protects it (BlobImmutableDueToPolicy)',
  BlobImmutableDueToLegalHold: 'a legal hold protects it (BlobImmutableDueToLegalHold)',
  SnapshotsPresent: 'it has snapshots (SnapshotsPresent). Delete the snapshots first.',
}
