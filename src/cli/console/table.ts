import type { Terminal } from './terminal.js'

/** The column widths follow from this many rows, or from the rows that arrive in `measureMs`. */
const measuredRows = 50
const measureMs = 500
const gap = '  '
/** The minimum width of a truncated column. */
const minTruncatedWidth = 8

export interface Cell {
  readonly text: string
  readonly colour?: 'red' | 'yellow' | 'green' | 'dim'
}

/**
 * Prints a table while its rows arrive. The first rows set the column widths; a longer cell in a later row exceeds its
 * column.
 */
export class Table {
  #unprinted: Cell[][] = []
  #widths: number[] | undefined
  /** The widths of the truncated columns. */
  #maxWidths: (number | undefined)[] = []
  #timer: NodeJS.Timeout | undefined
  /** Settles when all rows so far are printed. */
  #printing: Promise<void> = Promise.resolve()

  readonly #terminal: Terminal
  readonly #titles: readonly string[]
  readonly #truncatable: readonly number[]

  /** @param truncatable indexes of the columns to truncate on a narrow terminal, in this order */
  constructor(terminal: Terminal, titles: readonly string[], truncatable: readonly number[] = []) {
    this.#terminal = terminal
    this.#truncatable = truncatable
    this.#titles = titles
  }

  async addRow(row: Cell[]): Promise<void> {
    this.#unprinted.push(row)
    if (this.#widths || this.#unprinted.length >= measuredRows) return this.flush()
    this.#timer ??= setTimeout(() => void this.flush(), measureMs).unref()
  }

  /** Prints all rows so far; call it after the last row. Prints no titles if there are no rows. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    const rows = this.#unprinted.splice(0)
    if (rows.length === 0) return this.#printing
    this.#printing = this.#printing.then(() => this.#print(rows))
    return this.#printing
  }

  async #print(rows: Cell[][]): Promise<void> {
    if (!this.#widths) {
      const titleRow = this.#titles.map((text): Cell => ({ text, colour: 'dim' }))
      const widths = this.#titles.map((text, column) =>
        Math.max(text.length, ...rows.map((row) => row[column]?.text.length ?? 0)),
      )
      this.#maxWidths = this.#fitToTerminal(widths)
      this.#widths = widths.map((width, column) => Math.min(width, this.#maxWidths[column] ?? width))
      rows.unshift(titleRow)
    }
    for (const row of rows) await this.#terminal.printLine(this.#formatRow(row, this.#widths))
  }

  /** Returns the widths of the columns to truncate; `undefined` for the others. */
  #fitToTerminal(widths: readonly number[]): (number | undefined)[] {
    let surplus = widths.reduce((sum, width) => sum + width + gap.length, -gap.length) - this.#terminal.width
    const maxWidths: (number | undefined)[] = []
    for (const column of this.#truncatable) {
      const width = widths[column] ?? 0
      if (surplus <= 0) break
      maxWidths[column] = Math.max(width - surplus, Math.min(width, minTruncatedWidth))
      surplus -= width - maxWidths[column]
    }
    return maxWidths
  }

  #formatRow(row: Cell[], widths: readonly number[]): string {
    const cells = row.map(({ text, colour }, column) => {
      const truncated = truncate(text, this.#maxWidths[column])
      const padded = column === row.length - 1 ? truncated : truncated.padEnd(widths[column] ?? 0)
      return colour ? this.#terminal.colourise(colour, padded) : padded
    })
    return cells.join(gap).trimEnd()
  }
}

const truncate = (text: string, maxLength = Number.POSITIVE_INFINITY): string =>
  text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text
