import { parseFailureRecord } from '../failure.js'
import type { KeyType } from '../layout.js'
import { renewalTime } from '../renewal.js'
import { parseSuggestionRecord } from '../suggestions.js'
import { type Command, duration, type Flags, printable, textOf, UsageError } from './arguments.js'
import { type CertificateFacts, coversHost, factsOf } from './certificate-facts.js'
import { type Connection, caFlags, chosenPrefix, connect, connectionFlags } from './connect.js'
import { type Group, groups, type Kind, mapInOrder } from './entries.js'
import { type Cell, Table } from './table.js'
import type { Terminal } from './terminal.js'
import { left, minuteOf } from './times.js'

const readsAtOnce = 16
const dayMs = 86_400_000

/** What is known of a host and a type of key. Also a line of `--json`, where times are in ISO 8601. */
export interface Row {
  readonly host: string
  /** As the certificate is stored. */
  readonly key: string
  readonly state: 'valid' | 'due' | 'expired' | 'not yet valid' | 'corrupt' | 'no certificate'
  /** Why it is corrupt. */
  readonly fault: string | null
  readonly keyType: string | null
  readonly issuer: string | null
  readonly notBefore: Date | null
  readonly notAfter: Date | null
  /** From when the manager replaces it, with its default for `renewBeforeMs`. */
  readonly renewAt: Date | null
  readonly failure: { readonly failures: number; readonly retryAt: Date; readonly message: string } | null
  /** Somebody orders, or asks the CA about it. */
  readonly locked: boolean
}

const sorts: Record<string, (row: Row) => string | number> = {
  host: ({ host }) => host,
  expires: ({ notAfter }) => notAfter?.getTime() ?? 0,
  renews: ({ renewAt }) => renewAt?.getTime() ?? 0,
  issuer: ({ issuer }) => issuer ?? '',
  state: ({ state }) => state,
}

const flags: Flags = {
  ...connectionFlags,
  ...caFlags,
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
The exit code is 1 if a certificate can't be read.`,
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
    const connection = await connect(given)
    const output = given.flags.json === true ? jsonLines(terminal) : table(terminal)
    const seen = new Map<Kind, number>()
    const kept: { readonly by: string | number; readonly packed: string }[] = []
    let corrupt = 0
    for await (const rows of read(connection, terminal, seen, chosenPrefix(given))) {
      for (const row of rows) {
        if (row.state === 'corrupt') corrupt += 1
        if (endsBefore !== undefined && !(row.notAfter && row.notAfter.getTime() <= endsBefore)) continue
        if (order) kept.push(pack(row, order))
        else await output.row(row)
      }
    }
    for (const { packed } of kept.sort(ascending)) await output.row(unpack(packed))
    await output.end(seen)
    if (corrupt === 0) return 0
    terminal.note(
      `acme-cert-cache: ${counted(corrupt, 'certificate')} can’t be read: see them with show, and remove them with rm, so that new ones are ordered`,
    )
    return 1
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

async function rowsOf(group: Group, connection: Connection): Promise<Row[]> {
  const rows = await Promise.all(
    (['ecdsa-p256', 'rsa-2048'] as const).map((keyType) => rowOf(group, keyType, connection)),
  )
  return rows.filter((row) => row !== undefined)
}

async function rowOf(
  group: Group,
  keyType: KeyType,
  { store, isLeased }: Connection,
): Promise<Row | undefined> {
  const host = group.name
  const key = `${group.prefix}${host}${keyType === 'rsa-2048' ? '+rsa' : ''}`
  const names = new Set(group.entries.map(({ entry }) => entry.name))
  const isOurs = ['', '+failure', '+lock'].some((mark) => names.has(key + mark))
  if (!isOurs || group.entries.every(({ meaning }) => !('host' in meaning) && meaning.kind !== 'lock')) return
  const text = async (name: string) => (names.has(name) ? store.get(name) : undefined)
  const locks = [`${key}+lock`, `${key}+renewal+lock`].filter((name) => names.has(name))
  const [data, failureData, renewalData, ...leased] = await Promise.all([
    text(key),
    text(`${key}+failure`),
    text(`${key}+renewal`),
    ...locks.map((name) => isLeased(name)),
  ])
  const failure = failureData && parseFailureRecord(failureData)
  const locked = leased.includes(true)
  // Gone since it was listed, or a lock that nobody holds.
  if (!data && !failure && !locked) return
  const facts = data && factsOf(data)
  const common = {
    host,
    key,
    failure: failure
      ? {
          failures: failure.failures,
          retryAt: new Date(failure.retryAt),
          message: printable(failure.message),
        }
      : null,
    locked,
  }
  const nothing = { keyType: null, issuer: null, notBefore: null, notAfter: null, renewAt: null }
  if (!facts) return { ...common, ...nothing, state: 'no certificate', fault: null }
  if (facts.fault !== undefined) return { ...common, ...nothing, state: 'corrupt', fault: facts.fault }
  const suggestion = renewalData && parseSuggestionRecord(renewalData)
  const window = suggestion?.serialNumber === facts.serialNumber ? suggestion.window : null
  const renewAt = renewalTime({ ...facts, window: window ?? undefined, random: 0 }).at
  const isHosts = coversHost(facts, host)
  return {
    ...common,
    keyType: facts.keyType,
    issuer: facts.issuer,
    notBefore: new Date(facts.notBefore),
    notAfter: new Date(facts.notAfter),
    renewAt: new Date(renewAt),
    state: isHosts ? stateAt(Date.now(), facts, renewAt) : 'corrupt',
    fault: isHosts ? null : 'another host',
  }
}

function stateAt(now: number, { notBefore, notAfter }: CertificateFacts, renewAt: number): Row['state'] {
  if (now >= notAfter) return 'expired'
  if (now < notBefore) return 'not yet valid'
  return now >= renewAt ? 'due' : 'valid'
}

const fields = [
  ...['host', 'key', 'state', 'fault', 'keyType', 'issuer', 'notBefore', 'notAfter', 'renewAt', 'failure'],
  'locked',
] as (keyof Row)[]

/** Small, and without the texts that parts of the row were cut from, such as the whole page of the listing. */
function pack(row: Row, order: (row: Row) => string | number) {
  const packed = JSON.stringify(fields.map((field) => row[field]))
  return { by: order(unpack(packed)), packed }
}

function unpack(packed: string): Row {
  const values = JSON.parse(packed) as unknown[]
  const row = Object.fromEntries(fields.map((field, index) => [field, values[index]])) as unknown as Row
  const date = (value: Date | null) => value && new Date(value)
  return {
    ...row,
    notBefore: date(row.notBefore),
    notAfter: date(row.notAfter),
    renewAt: date(row.renewAt),
    failure: row.failure && { ...row.failure, retryAt: new Date(row.failure.retryAt) },
  }
}

const ascending = (a: { by: string | number }, b: { by: string | number }) =>
  a.by < b.by ? -1 : a.by > b.by ? 1 : 0

interface Output {
  row(row: Row): Promise<void>
  end(seen: ReadonlyMap<Kind, number>): Promise<void>
}

const jsonLines = (terminal: Terminal): Output => ({
  row: (row) => terminal.json(row),
  end: async () => undefined,
})

function table(terminal: Terminal): Output {
  const rows = new Table(terminal, ['HOST', 'KEY', 'ISSUER', 'EXPIRES', 'LEFT', 'RENEWS', 'LOCK', 'STATE'])
  return {
    row: (row) => rows.add(cells(row, Date.now())),
    async end(seen) {
      await rows.end()
      const answers = (seen.get('http-01') ?? 0) + (seen.get('tls-alpn-01') ?? 0)
      const all: [number, string][] = [
        [seen.get('certificate') ?? 0, 'certificate'],
        [seen.get('account key') ?? 0, 'account key'],
        [answers, 'challenge answer'],
        [seen.get('failure') ?? 0, 'failure record'],
        [seen.get('lock') ?? 0, 'lock'],
        [seen.get('unknown') ?? 0, 'other blob'],
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
  const shown = state === 'corrupt' ? `corrupt: ${fault}` : state
  const colour = { valid: 'green', due: 'yellow', 'no certificate': 'yellow' }[state as string] ?? 'red'
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
