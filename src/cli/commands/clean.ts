import { StoreError } from '../../util/errors.js'
import type { Command } from '../console/arguments.js'
import type { Terminal } from '../console/terminal.js'
import { minuteOf } from '../console/format.js'
import { factsOf } from '../container/certificate-details.js'
import { anyCaFlags, type Connection, chosenPrefix, connect, connectionFlags } from '../container/connection.js'
import { classifyEntry, type Entry, mapInOrder } from '../container/entries.js'
import { unreadable } from '../container/unreadable-blob.js'
import { counted } from './ls.js'
import { confirm } from './rm.js'

const checksAtOnce = 16
const staleAnswerMs = 86_400_000
const staleLockMs = 60_000
const staleScratchMs = 3_600_000

interface Litter {
  readonly item: Entry
  readonly why: string
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
    ...anyCaFlags,
    yes: { help: 'don’t ask' },
    'dry-run': { help: 'show, and remove nothing' },
  },
  async run(given, terminal) {
    const chosen = chosenPrefix(given)
    const connection = await connect(given)
    const staleBlobs = await find(connection, terminal, chosen)
    for (const { item, why } of staleBlobs) await terminal.line(`${item.entry.name}  ${why}`)
    if (staleBlobs.length === 0) terminal.note('there is nothing to remove')
    if (staleBlobs.length === 0 || given.flags['dry-run'] === true) return 0
    const question = `Remove ${counted(staleBlobs.length, 'blob')} from container ${connection.containerName}?`
    if (!(await confirm(given.flags.yes === true, question, terminal))) return 1
    let removed = 0
    for (const { item } of staleBlobs) {
      if (await remove(item, connection)) removed += 1
      else terminal.note(`${item.entry.name} is in use again: kept`)
    }
    terminal.note(`removed ${counted(removed, 'blob')}`)
    return 0
  },
}

async function find(
  connection: Connection,
  terminal: Terminal,
  chosen: string | undefined,
): Promise<Litter[]> {
  const found: Litter[] = []
  let blobs = 0
  const check = async (item: Entry) => ({
    item,
    why: await reason(item, item.entry.modified, connection).catch((thrown: unknown) => {
      const code = unreadable(thrown)
      if (code === undefined) throw thrown
      terminal.note(`${item.entry.name} is kept: the service does not give it out (${code})`)
      return undefined
    }),
  })
  for await (const { item, why } of mapInOrder(understood(connection, chosen), checksAtOnce, check)) {
    blobs += 1
    terminal.progress(() => `${counted(blobs, 'blob')} looked at …`)
    if (why !== undefined) found.push({ item, why })
  }
  return found
}

async function* understood({ store }: Connection, chosen: string | undefined): AsyncGenerator<Entry> {
  for await (const listed of store.list()) {
    const item = classifyEntry(listed, chosen)
    if (chosen === undefined || item.prefix === chosen) yield item
  }
}

/** Why it can go; `undefined` if it can't. */
async function reason(
  { entry, meaning }: Entry,
  modified: Date,
  { store, look }: Connection,
): Promise<string | undefined> {
  const age = Date.now() - modified.getTime()
  switch (meaning.kind) {
    case 'certificate': {
      const data = await store.get(entry.name)
      const facts = data && factsOf(data)
      if (!facts || facts.fault !== undefined || facts.notAfter > Date.now()) return undefined
      return `certificate, expired ${minuteOf(new Date(facts.notAfter))}`
    }
    case 'http-01':
    case 'tls-alpn-01':
      return age > staleAnswerMs ? `${meaning.kind} answer, of ${minuteOf(modified)}` : undefined
    case 'lock':
      if (age <= staleLockMs || (await look(entry.name))?.isLeased !== false) return undefined
      return `lock that nobody holds, of ${minuteOf(modified)}`
    case 'scratch':
      return age > staleScratchMs ? `of doctor, left behind ${minuteOf(modified)}` : undefined
    default:
      return undefined
  }
}

/** False if the blob is not stale any more: a machine may have been at work since it was shown. */
async function remove(item: Entry, connection: Connection): Promise<boolean> {
  const { name } = item.entry
  const state = await connection.look(name)
  if (!state || (await reason(item, state.modified, connection)) === undefined) return false
  try {
    await connection.deleteUnchanged(name, state)
    return true
  } catch (thrown) {
    // Written or leased a moment ago.
    if (thrown instanceof StoreError && (thrown.statusCode === 412 || thrown.statusCode === 409)) return false
    throw thrown
  }
}
