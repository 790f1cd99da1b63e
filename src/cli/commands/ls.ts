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
    help: 'show only certificates that expire within this time, such as 14d, or have expired',
  },
  sort: {
    value: 'COLUMN',
    help: `sort by ${Object.keys(sortKeys).join(', ')}; holds all rows in memory`,
  },
  json: { help: 'print one JSON object per line' },
}

export const ls: Command = {
  usage: 'ls [flags]',
  summary: 'List certificates and their expiry dates',
  details: `Lists the certificates of all CAs, unless --directory or --key-prefix selects one. Prints rows in the order of the store
while it reads them. --sort prints them at the end, and needs about 300 bytes of memory per row.

CA      host of the CA's directory; empty for keys without prefix (Let's Encrypt production)
RENEWS  when servers with the default renewBeforeMs begin to renew
LOCK    "held" while a server places an order or reads renewal information
STATE   valid, due (for renewal), expired, not yet valid, corrupt, unreadable, encrypted or no certificate;
        "failing until" is the time of the next attempt

Times are in UTC. Certificates that EncryptedCertCache encrypted are listed by name only. The exit code is 1 if a
certificate is corrupt or unreadable.`,
  operands: [0, 0],
  flags,
  async run(args, terminal) {
    const sort = stringFlag(args, 'sort')
    const sortKeyOf = sort !== undefined && Object.hasOwn(sortKeys, sort) ? sortKeys[sort] : undefined
    if (sort !== undefined && !sortKeyOf) {
      throw new UsageError(`--sort must be one of ${Object.keys(sortKeys).join(', ')}`)
    }
    const within = stringFlag(args, 'expiring')
    const latestExpiry = within === undefined ? undefined : Date.now() + parseDuration('expiring', within)
    const ca = selectOptionalCa(args)
    const connection = await connect(args)
    const output = args.flags.json === true ? jsonOutput(terminal) : tableOutput(terminal)
    const counts = new Map<EntryKind, number>()
    const packedRows: PackedRow[] = []
    const states: Partial<Record<Row['state'], number>> = {}
    let readable = 0
    let expiring = 0
    const rowsByHost = readContainer(connection, terminal, counts, ca)
    // If the listing fails, the rows read so far are still printed.
    for await (const rows of flushBeforeError(rowsByHost, () => output.flush())) {
      for (const row of rows) {
        states[row.state] = (states[row.state] ?? 0) + 1
        if (row.notAfter !== null) readable += 1
        if (latestExpiry !== undefined && expiresBy(row, latestExpiry)) expiring += 1
        else if (latestExpiry !== undefined && row.state !== 'unreadable') continue
        if (sortKeyOf) packedRows.push(packRow(row, sortKeyOf))
        else await output.printRow(row)
      }
    }
    for (const { json } of packedRows.sort(compareSortKeys)) await output.printRow(unpackRow(json))
    const { 'no certificate': _, ...certificates } = states
    const all = Object.values(certificates).reduce((sum, count) => sum + count, 0)
    await output.end(counts, within === undefined ? undefined : { within, expiring, readable, all })
    const { corrupt = 0, unreadable = 0, encrypted = 0 } = states
    if (within !== undefined && encrypted > 0) {
      terminal.printWarning(
        `cannot read the expiry dates of ${formatCount(encrypted, 'encrypted certificate')}. Call manager.status() in a server that has the key.`,
      )
    }
    if (corrupt > 0) {
      terminal.printWarning(
        `found ${formatCount(corrupt, 'corrupt certificate')}. Servers ignore them. Inspect them with show, or remove them with rm.`,
      )
    }
    if (unreadable > 0) {
      terminal.printWarning(
        `cannot read ${formatCount(unreadable, 'certificate')}: the service does not return the blobs. Set their access tier to hot, or remove them with rm.`,
      )
    }
    return corrupt + unreadable === 0 ? 0 : 1
  },
}

const expiresBy = ({ notAfter }: Row, time: number): boolean =>
  notAfter !== null && notAfter.getTime() <= time

/** Yields the rows of each host, and counts all blobs by kind in `counts`. */
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
    terminal.showProgress(() => `read ${formatCount(blobs, 'blob')} …`)
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
