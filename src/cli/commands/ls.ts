import { type Command, type Flags, parseDuration, stringFlag } from '../console/arguments.js'
import { UsageError } from '../console/errors.js'
import { formatCount } from '../console/format.js'
import type { Terminal } from '../console/terminal.js'
import { type Connection, connect } from '../container/connection.js'
import { type EntryKind, groupEntries } from '../container/entries.js'
import { mapInOrder } from '../container/map-in-order.js'
import { optionalCaFlags, selectOptionalCa } from '../flags/ca.js'
import { connectionFlags } from '../flags/connection.js'
import { jsonOutput, tableOutput } from '../ls/output.js'
import { compareSortKeys, type PackedRow, packRow, unpackRow } from '../ls/packed-rows.js'
import { type Row, readRows } from '../ls/rows.js'

/** How many hosts are read at once. */
const concurrency = 16

const sortKeys: Record<string, (row: Row) => string | number> = {
  host: ({ host }) => host,
  expires: ({ notAfter }) => notAfter?.getTime() ?? 0,
  renews: ({ renewAt }) => renewAt?.getTime() ?? 0,
  issuer: ({ issuer }) => issuer ?? '',
  state: ({ state }) => state,
}

const flags: Flags = {
  ...connectionFlags,
  ...optionalCaFlags,
  expiring: {
    value: 'TIME',
    help: 'only certificates that end within this time, such as 14d, or have ended',
  },
  sort: {
    value: 'COLUMN',
    help: `by ${Object.keys(sortKeys).join(', ')}; rows are shown when all have been read`,
  },
  json: { help: 'one JSON object per line' },
}

export const ls: Command = {
  usage: 'ls [flags]',
  summary: 'what certificates there are, when they end, what failed',
  details: `Rows come in the order of the store as they are read, with constant memory for any number of blobs; with --sort
all rows are kept in memory, some 300 bytes each. Without --directory or --key-prefix: those of all CAs.
RENEWS is when a manager with the default renewBeforeMs begins to replace it. Times are in UTC.
Of what EncryptedCertCache encrypted only the name is known. The exit code is 1 if a certificate can't be read.`,
  operands: [0, 0],
  flags,
  async run(args, terminal) {
    const sort = stringFlag(args, 'sort')
    const sortKeyOf = sort !== undefined && Object.hasOwn(sortKeys, sort) ? sortKeys[sort] : undefined
    if (sort !== undefined && !sortKeyOf) {
      throw new UsageError(`--sort takes one of ${Object.keys(sortKeys).join(', ')}`)
    }
    const expiring = stringFlag(args, 'expiring')
    const latestExpiry = expiring === undefined ? undefined : Date.now() + parseDuration('expiring', expiring)
    const ca = selectOptionalCa(args)
    const connection = await connect(args)
    const output = args.flags.json === true ? jsonOutput(terminal) : tableOutput(terminal)
    const counts = new Map<EntryKind, number>()
    const packedRows: PackedRow[] = []
    let corrupt = 0
    let encrypted = 0
    let unreadable = 0
    const rowsByHost = readContainer(connection, terminal, counts, ca)
    // If the listing fails, the rows read so far are still printed.
    for await (const rows of flushBeforeError(rowsByHost, () => output.flush())) {
      for (const row of rows) {
        if (row.state === 'corrupt') corrupt += 1
        if (row.state === 'encrypted') encrypted += 1
        if (row.state === 'unreadable') unreadable += 1
        else if (latestExpiry !== undefined && !expiresBy(row, latestExpiry)) continue
        if (sortKeyOf) packedRows.push(packRow(row, sortKeyOf))
        else await output.printRow(row)
      }
    }
    for (const { json } of packedRows.sort(compareSortKeys)) await output.printRow(unpackRow(json))
    await output.end(counts)
    if (latestExpiry !== undefined && encrypted > 0) {
      terminal.printNote(
        `acme-cert-cache: the end of ${formatCount(encrypted, 'certificate')} can’t be read here: encrypted, see manager.status()`,
      )
    }
    if (corrupt > 0) {
      terminal.printNote(
        `acme-cert-cache: ${formatCount(corrupt, 'certificate')} can’t be read: see them with show, and remove them with rm, so that new ones are ordered`,
      )
    }
    if (unreadable > 0) {
      terminal.printNote(
        `acme-cert-cache: of ${formatCount(unreadable, 'certificate')} the service does not give out the blobs: set their access tier to hot, or remove them with rm`,
      )
    }
    return corrupt + unreadable === 0 ? 0 : 1
  },
}

const expiresBy = ({ notAfter }: Row, time: number): boolean =>
  notAfter !== null && notAfter.getTime() <= time

/** Reads the certificates of all hosts, and counts all blobs by kind in `counts`. */
async function* readContainer(
  connection: Connection,
  terminal: Terminal,
  counts: Map<EntryKind, number>,
  ca: string | undefined,
): AsyncGenerator<Row[]> {
  const groups = groupEntries(connection.store.list(), ca)
  let blobs = 0
  for await (const { rows, group } of mapInOrder(groups, concurrency, async (group) => ({
    group,
    rows: await readRows(group, connection),
  }))) {
    for (const { content } of group.entries) counts.set(content.kind, (counts.get(content.kind) ?? 0) + 1)
    blobs += group.entries.length
    terminal.showProgress(() => `${formatCount(blobs, 'blob')} read …`)
    yield rows
  }
}

async function* flushBeforeError<T>(items: AsyncIterable<T>, flush: () => Promise<void>): AsyncGenerator<T> {
  try {
    yield* items
  } catch (thrown) {
    await flush()
    throw thrown
  }
}
