import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { styleText } from 'node:util'

type Colour = Parameters<typeof styleText>[0]

const progressEveryMs = 200
const clearLine = '\r\u001b[K'

/** Standard output for what was asked for, standard error for words about it. */
export class Terminal {
  readonly #stdout = process.stdout
  readonly #stderr = process.stderr
  readonly #colours = this.#stdout.isTTY && this.#stdout.hasColors()
  #progressAt = 0
  #progressShown = false

  /** Waits while the reader of a pipe is slow: what it has not taken would pile up. */
  async line(text: string): Promise<void> {
    this.#clearProgress()
    if (!this.#stdout.write(`${text}\n`)) await once(this.#stdout, 'drain')
  }

  async json(value: unknown): Promise<void> {
    await this.line(JSON.stringify(value))
  }

  note(text: string): void {
    this.#clearProgress()
    this.#stderr.write(`${text}\n`)
  }

  /** One line that is written over, for somebody who looks. */
  progress(text: () => string): void {
    const now = performance.now()
    if (!this.#stderr.isTTY || now - this.#progressAt < progressEveryMs) return
    this.#progressAt = now
    this.#stderr.write(`${clearLine}${text()}`)
    this.#progressShown = true
  }

  colour(colour: Colour, text: string): string {
    return this.#colours ? styleText(colour, text) : text
  }

  /** `undefined` where nobody can be asked. */
  async confirm(question: string): Promise<boolean | undefined> {
    if (!process.stdin.isTTY || !this.#stderr.isTTY) return undefined
    this.#clearProgress()
    const ask = createInterface({ input: process.stdin, output: this.#stderr })
    try {
      return /^y(es)?$/i.test((await ask.question(`${question} [y/N] `)).trim())
    } finally {
      ask.close()
    }
  }

  #clearProgress(): void {
    if (this.#progressShown) this.#stderr.write(clearLine)
    this.#progressShown = false
  }
}
