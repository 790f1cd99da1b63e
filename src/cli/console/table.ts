import type { Terminal } from './terminal.js'

/** So many rows, or what there is after so long, decide how wide the columns are. */
const rowsToMeasure = 50
const measureMs = 500
const gap = '  '
/** Less of a cell says nothing. */
const narrowest = 8

/** How a cell looks once it has its width. */
export interface Cell {
  readonly text: string
  readonly colour?: 'red' | 'yellow' | 'green' | 'dim'
}

/**
 * A table that is shown while its rows come: the first ones decide how wide its columns are, and a cell that is longer
 * takes its place.
 */
export class Table {
  #waiting: Cell[][] = []
  #widths: number[] | undefined
  /** Of the columns that are cut. */
  #limits: (number | undefined)[] = []
  #timer: NodeJS.Timeout | undefined
  /** What is being written, one line after the other. */
  #written: Promise<void> = Promise.resolve()

  private readonly terminal: Terminal
  private readonly titles: readonly string[]
  /** The columns that may be cut where the terminal is too narrow, in this order. */
  private readonly cuttable: readonly number[]

  constructor(terminal: Terminal, titles: readonly string[], cuttable: readonly number[] = []) {
    this.terminal = terminal
    this.cuttable = cuttable
    this.titles = titles
  }

  async add(row: Cell[]): Promise<void> {
    this.#waiting.push(row)
    if (this.#widths || this.#waiting.length >= rowsToMeasure) return this.#flush()
    this.#timer ??= setTimeout(() => void this.#flush(), measureMs).unref()
  }

  /** To be called in the end. Without a row there is no table. */
  async end(): Promise<void> {
    await this.#flush()
  }

  #flush(): Promise<void> {
    clearTimeout(this.#timer)
    const rows = this.#waiting.splice(0)
    if (rows.length === 0) return this.#written
    this.#written = this.#written.then(() => this.#write(rows))
    return this.#written
  }

  async #write(rows: Cell[][]): Promise<void> {
    if (!this.#widths) {
      const title = this.titles.map((text): Cell => ({ text, colour: 'dim' }))
      const widths = this.titles.map((text, column) =>
        Math.max(text.length, ...rows.map((row) => row[column]?.text.length ?? 0)),
      )
      this.#limits = this.#limitsOf(widths)
      this.#widths = widths.map((width, column) => Math.min(width, this.#limits[column] ?? width))
      rows.unshift(title)
    }
    for (const row of rows) await this.terminal.line(this.#line(row, this.#widths))
  }

  #limitsOf(widths: readonly number[]): (number | undefined)[] {
    let surplus = widths.reduce((sum, width) => sum + width + gap.length, -gap.length) - this.terminal.width
    const limits: (number | undefined)[] = []
    for (const column of this.cuttable) {
      const width = widths[column] ?? 0
      if (surplus <= 0) break
      limits[column] = Math.max(width - surplus, Math.min(width, narrowest))
      surplus -= width - limits[column]
    }
    return limits
  }

  #line(row: Cell[], widths: readonly number[]): string {
    const cells = row.map(({ text, colour }, column) => {
      const shown = cut(text, this.#limits[column])
      const padded = column === row.length - 1 ? shown : shown.padEnd(widths[column] ?? 0)
      return colour ? this.terminal.colour(colour, padded) : padded
    })
    return cells.join(gap).trimEnd()
  }
}

const cut = (text: string, limit = Number.POSITIVE_INFINITY): string =>
  text.length > limit ? `${text.slice(0, limit - 1)}…` : text
