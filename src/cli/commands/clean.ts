import { isLostRace } from '../../cache/service-errors.js'
import type { Command } from '../console/arguments.js'
import { confirmRemoval } from '../console/confirm-removal.js'
import { formatCount, formatMinute } from '../console/format.js'
import type { Terminal } from '../console/terminal.js'
import { parseCertificate } from '../container/certificate-details.js'
import { type Connection, connect } from '../container/connection.js'
import { type ClassifiedEntry, classifyEntry } from '../container/entries.js'
import { mapInOrder } from '../container/map-in-order.js'
import { unreadableReason } from '../container/unreadable-blob.js'
import { optionalCaFlags, selectOptionalCa } from '../flags/ca.js'
import { connectionFlags } from '../flags/connection.js'

/** How many blobs are checked at once. */
const concurrency = 16
/** Younger blobs may be in use. */
const minChallengeAgeMs = 86_400_000
const minLockAgeMs = 60_000
const minProbeAgeMs = 3_600_000

interface StaleBlob {
  readonly item: ClassifiedEntry
  readonly reason: string
}

export const clean: Command = {
  usage: 'clean [flags]',
  summary: 'removes expired certificates, and challenge answers and locks that were left behind',
  details: `Shows what it would remove: certificates that have expired, challenge answers older than a day, locks older than a
minute that nobody holds, and blobs older than an hour that doctor left behind. Asks on a terminal; elsewhere it needs --yes.
Looks at each one again before it goes.
Without --directory or --key-prefix: those of all CAs.`,
  operands: [0, 0],
  flags: {
    ...connectionFlags,
    ...optionalCaFlags,
    yes: { help: 'don’t ask' },
    'dry-run': { help: 'show, and remove nothing' },
  },
  async run(args, terminal) {
    const ca = selectOptionalCa(args)
    const connection = await connect(args)
    const staleBlobs = await findStaleBlobs(connection, terminal, ca)
    for (const { item, reason } of staleBlobs) await terminal.printLine(`${item.entry.name}  ${reason}`)
    if (staleBlobs.length === 0) terminal.printNote('there is nothing to remove')
    if (staleBlobs.length === 0 || args.flags['dry-run'] === true) return 0
    const question = `Remove ${formatCount(staleBlobs.length, 'blob')} from container ${connection.containerName}?`
    if (!(await confirmRemoval(question, args.flags.yes === true, terminal))) return 1
    let removed = 0
    for (const { item } of staleBlobs) {
      if (await removeIfStale(item, connection)) removed += 1
      else terminal.printNote(`${item.entry.name} is in use again: kept`)
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
      const code = unreadableReason(thrown)
      if (code === undefined) throw thrown
      terminal.printNote(`${item.entry.name} is kept: the service does not give it out (${code})`)
      return undefined
    }),
  })
  for await (const { item, reason } of mapInOrder(listEntries(connection, ca), concurrency, check)) {
    blobs += 1
    terminal.showProgress(() => `${formatCount(blobs, 'blob')} looked at …`)
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

/** Returns why the blob can be removed, for the user; `undefined` if it must stay. */
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
      return ageMs > minChallengeAgeMs ? `${content.kind} answer, of ${formatMinute(modified)}` : undefined
    case 'lock':
      if (ageMs <= minLockAgeMs || (await getBlobState(entry.name))?.isLeased !== false) return undefined
      return `lock that nobody holds, of ${formatMinute(modified)}`
    case 'probe':
      return ageMs > minProbeAgeMs ? `of doctor, left behind ${formatMinute(modified)}` : undefined
    default:
      return undefined
  }
}

/** Returns false if the blob is no longer stale: a machine may have used it during the prompt. */
async function removeIfStale(item: ClassifiedEntry, connection: Connection): Promise<boolean> {
  const { name } = item.entry
  const state = await connection.getBlobState(name)
  if (!state || (await staleReason(item, state.modified, connection)) === undefined) return false
  try {
    await connection.deleteIfUnchanged(name, state)
    return true
  } catch (thrown) {
    // Written or leased since its state was read (412), or in conflict with another operation (409).
    if (isLostRace(thrown)) return false
    throw thrown
  }
}
