import { type Command, duration, type Flags, textOf, UsageError } from '../console/arguments.js'
import { type Cell, Table } from '../console/table.js'
import type { Terminal } from '../console/terminal.js'
import { left, minuteOf } from '../console/format.js'
import { anyCaFlags, type Connection, chosenPrefix, connect, connectionFlags } from '../container/connection.js'
import { groups, type Kind, mapInOrder } from '../container/entries.js'
import { pack, type Row, rowsOf, unpack } from '../ls/rows.js'

const readsAtOnce = 16
const dayMs = 86_400_000

const sorts: Record<string, (row: Row) => string | number> = {
  host: ({ host }) => host,
  expires: ({ notAfter }) => notAfter?.getTime() ?? 0,
  renews: ({ renewAt }) => renewAt?.getTime() ?? 0,
  issuer: ({ issuer }) => issuer ?? '',
  state: ({ state }) => state,
}

const flags: Flags = {
  ...connectionFlags,
  ...anyCaFlags,
  expiring: {
    value: 'TIME',
    help: 'only certificates that end within this time, such as 14d, or have ended',
  },
  sort: {
    value: 'COLUMN',
    help: `by ${Object.keys(sorts).join(', ')}; rows are shown when all have been read`,
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
  async run(given, terminal) {
    const sort = textOf(given, 'sort')
    const order = sort !== undefined && Object.hasOwn(sorts, sort) ? sorts[sort] : undefined
    if (sort !== undefined && !order) {
      throw new UsageError(`--sort takes one of ${Object.keys(sorts).join(', ')}`)
    }
    const expiring = textOf(given, 'expiring')
    const endsBefore = expiring === undefined ? undefined : Date.now() + duration('expiring', expiring)
    const chosen = chosenPrefix(given)
    const connection = await connect(given)
    const output = given.flags.json === true ? jsonLines(terminal) : table(terminal)
    const seen = new Map<Kind, number>()
    const kept: { readonly by: string | number; readonly packed: string }[] = []
    let corrupt = 0
    let encrypted = 0
    let unreadable = 0
    const found = read(connection, terminal, seen, chosen)
    // What was found before an error is shown, too.
    for await (const rows of beforeErrors(found, () => output.flush())) {
      for (const row of rows) {
        if (row.state === 'corrupt') corrupt += 1
        if (row.state === 'encrypted') encrypted += 1
        if (row.state === 'unreadable') unreadable += 1
        else if (endsBefore !== undefined && !(row.notAfter && row.notAfter.getTime() <= endsBefore)) continue
        if (order) kept.push(pack(row, order))
        else await output.row(row)
      }
    }
    for (const { packed } of kept.sort(ascending)) await output.row(unpack(packed))
    await output.end(seen)
    if (endsBefore !== undefined && encrypted > 0) {
      terminal.note(
        `acme-cert-cache: the end of ${counted(encrypted, 'certificate')} can’t be read here: encrypted, see manager.status()`,
      )
    }
    if (corrupt > 0) {
      terminal.note(
        `acme-cert-cache: ${counted(corrupt, 'certificate')} can’t be read: see them with show, and remove them with rm, so that new ones are ordered`,
      )
    }
    if (unreadable > 0) {
      terminal.note(
        `acme-cert-cache: of ${counted(unreadable, 'certificate')} the service does not give out the blobs: set their access tier to hot, or remove them with rm`,
      )
    }
    return corrupt + unreadable === 0 ? 0 : 1
  },
}

async function* read(
  connection: Connection,
  terminal: Terminal,
  seen: Map<Kind, number>,
  chosen: string | undefined,
): AsyncGenerator<Row[]> {
  const found = groups(connection.store.list(), chosen)
  let blobs = 0
  for await (const { rows, group } of mapInOrder(found, readsAtOnce, async (group) => ({
    group,
    rows: await rowsOf(group, connection),
  }))) {
    for (const { meaning } of group.entries) seen.set(meaning.kind, (seen.get(meaning.kind) ?? 0) + 1)
    blobs += group.entries.length
    terminal.progress(() => `${counted(blobs, 'blob')} read …`)
    yield rows
  }
}

const ascending = (a: { by: string | number }, b: { by: string | number }) =>
  a.by < b.by ? -1 : a.by > b.by ? 1 : 0

async function* beforeErrors<T>(items: AsyncIterable<T>, flush: () => Promise<void>): AsyncGenerator<T> {
  try {
    yield* items
  } catch (thrown) {
    await flush()
    throw thrown
  }
}

interface Output {
  row(row: Row): Promise<void>
  /** Shows the rows that wait for others, to be measured with. */
  flush(): Promise<void>
  end(seen: ReadonlyMap<Kind, number>): Promise<void>
}

const jsonLines = (terminal: Terminal): Output => ({
  row: (row) => terminal.json(row),
  flush: async () => undefined,
  end: async () => undefined,
})

function table(terminal: Terminal): Output {
  const titles = ['HOST', 'KEY', 'ISSUER', 'EXPIRES', 'LEFT', 'RENEWS', 'LOCK', 'STATE']
  const rows = new Table(terminal, titles, [titles.indexOf('ISSUER'), titles.indexOf('HOST')])
  return {
    row: (row) => rows.add(cells(row, Date.now())),
    flush: () => rows.end(),
    async end(seen) {
      await rows.end()
      const answers = (seen.get('http-01') ?? 0) + (seen.get('tls-alpn-01') ?? 0)
      const all: [number, string][] = [
        [seen.get('certificate') ?? 0, 'certificate'],
        [seen.get('account key') ?? 0, 'account key'],
        [answers, 'challenge answer'],
        [seen.get('failure') ?? 0, 'failure record'],
        [seen.get('renewal') ?? 0, 'renewal record'],
        [seen.get('lock') ?? 0, 'lock'],
        [(seen.get('scratch') ?? 0) + (seen.get('unknown') ?? 0), 'other blob'],
      ]
      const shown = all.filter(([count], index) => count > 0 || index === 0)
      await terminal.line(shown.map(([count, what]) => counted(count, what)).join(', '))
    },
  }
}

function cells(row: Row, now: number): Cell[] {
  const { host, key, keyType, issuer, notAfter, renewAt, locked, failure, state, fault } = row
  const prefix = key.slice(0, key.indexOf(host))
  const failing = failure && failure.retryAt.getTime() > now && `failing until ${minuteOf(failure.retryAt)}`
  const shown = fault === null ? state : `${state}: ${fault}`
  const colour =
    { valid: 'green', encrypted: 'dim', due: 'yellow', 'no certificate': 'yellow' }[state as string] ?? 'red'
  return [
    { text: prefix + host },
    { text: keyType ?? '' },
    { text: issuer ?? '' },
    { text: notAfter ? minuteOf(notAfter) : '' },
    notAfter ? { text: left(notAfter, now), ...nearness(notAfter, now) } : { text: '' },
    { text: renewAt ? minuteOf(renewAt) : '' },
    { text: locked ? 'held' : '' },
    { text: failing ? `${shown}, ${failing}` : shown, colour: (failing ? 'red' : colour) as 'red' },
  ]
}

function nearness(notAfter: Date, now: number): Pick<Cell, 'colour'> {
  const days = (notAfter.getTime() - now) / dayMs
  return days < 7 ? { colour: 'red' } : days < 14 ? { colour: 'yellow' } : {}
}

/** `1,234 blobs`. */
export const counted = (count: number, what: string): string =>
  `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`
