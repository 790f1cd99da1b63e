import { formatCount, formatDuration, formatMinute, timeLeft } from '../console/format.js'
import { type Cell, Table } from '../console/table.js'
import type { Terminal } from '../console/terminal.js'
import type { EntryKind } from '../container/entries.js'
import type { Row } from './rows.js'

const dayMs = 86_400_000

/** How many certificates expire within the time of `--expiring`. */
export interface ExpiryCounts {
  /** The flag's value, such as `14d`. */
  readonly within: string
  readonly expiring: number
  /** The certificates whose expiry date is known. */
  readonly readable: number
  readonly all: number
}

/** How `ls` prints its rows. */
export interface Output {
  printRow(row: Row): Promise<void>
  /** Prints the rows that the table still holds to measure its columns. */
  flush(): Promise<void>
  /** Prints the remaining rows and a summary: of the expiry dates if `expiry` is passed, otherwise of all blobs. */
  end(counts: ReadonlyMap<EntryKind, number>, expiry: ExpiryCounts | undefined): Promise<void>
}

export const jsonOutput = (terminal: Terminal): Output => ({
  printRow: (row) => terminal.printJson(row),
  flush: async () => undefined,
  end: async () => undefined,
})

export function tableOutput(terminal: Terminal): Output {
  const titles = ['HOST', 'CA', 'KEY', 'ISSUER', 'EXPIRES', 'LEFT', 'RENEWS', 'LOCK', 'STATE']
  const table = new Table(terminal, titles, [
    titles.indexOf('ISSUER'),
    titles.indexOf('CA'),
    titles.indexOf('HOST'),
  ])
  return {
    printRow: (row) => table.addRow(toCells(row, Date.now())),
    flush: () => table.flush(),
    async end(counts, expiry) {
      await table.flush()
      if (expiry) return terminal.printLine(formatExpiry(expiry))
      const count = (...kinds: EntryKind[]) => kinds.reduce((sum, kind) => sum + (counts.get(kind) ?? 0), 0)
      const summary: [number, string][] = [
        [count('certificate'), 'certificate'],
        [count('account key', 'legacy account key'), 'account key'],
        [count('http-01', 'tls-alpn-01'), 'challenge answer'],
        [count('failure'), 'failure record'],
        [count('renewal'), 'renewal record'],
        [count('lock'), 'lock'],
        [count('probe', 'unknown'), 'other blob'],
      ]
      const shown = summary.filter(([number], index) => number > 0 || index === 0)
      await terminal.printLine(shown.map(([number, noun]) => formatCount(number, noun)).join(', '))
    },
  }
}

function formatExpiry({ within, expiring, readable, all }: ExpiryCounts): string {
  const noun = `${readable === all ? '' : 'readable '}certificate`
  if (readable === 0) return formatCount(0, noun)
  const time = formatDuration(within)
  if (expiring > 0) {
    const verbs = expiring === 1 ? 'has expired or expires' : 'have expired or expire'
    return `${expiring.toLocaleString('en')} of ${formatCount(readable, noun)} ${verbs} within ${time}`
  }
  return readable === 1
    ? `the only ${noun} does not expire within ${time}`
    : `none of the ${formatCount(readable, noun)} expires within ${time}`
}

function toCells(row: Row, now: number): Cell[] {
  const { host, ca, keyType, issuer, notAfter, renewAt, locked, failure, state, fault } = row
  const retryNote =
    failure && failure.retryAt.getTime() > now && `failing until ${formatMinute(failure.retryAt)}`
  const stateText = fault === null ? state : `${state}: ${fault}`
  const stateColour =
    { valid: 'green', encrypted: 'dim', due: 'yellow', 'no certificate': 'yellow' }[state as string] ?? 'red'
  return [
    { text: host },
    { text: ca },
    { text: keyType ?? '' },
    { text: issuer ?? '' },
    { text: notAfter ? formatMinute(notAfter) : '' },
    notAfter ? { text: timeLeft(notAfter, now), ...expiryColour(notAfter, now) } : { text: '' },
    { text: renewAt ? formatMinute(renewAt) : '' },
    { text: locked ? 'held' : '' },
    {
      text: retryNote ? `${stateText}, ${retryNote}` : stateText,
      colour: (retryNote ? 'red' : stateColour) as 'red',
    },
  ]
}

function expiryColour(notAfter: Date, now: number): Pick<Cell, 'colour'> {
  const days = (notAfter.getTime() - now) / dayMs
  return days < 7 ? { colour: 'red' } : days < 14 ? { colour: 'yellow' } : {}
}
