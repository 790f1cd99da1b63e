import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { styleText } from 'node:util'

type Colour = Parameters<typeof styleText>[0]

const progressEveryMs = 200
/** What is done sooner needs none. */
const progressAfterMs = 1_000
const clearLine = '\r\u001b[K'

/** Standard output for what was asked for, standard error for words about it. */
export class Terminal {
  readonly #stdout = process.stdout
  readonly #stderr = process.stderr
  readonly #colours = this.#stdout.isTTY && this.#stdout.hasColors()
  /** Not on a terminal that can't take a line back. */
  readonly #hasProgress = this.#stderr.isTTY && process.env.TERM !== 'dumb'
  #progressAt: number | undefined
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
    this.#progressAt ??= now + progressAfterMs
    if (!this.#hasProgress || now < this.#progressAt) return
    this.#progressAt = now + progressEveryMs
    this.#stderr.write(`${clearLine}${text()}`)
    this.#progressShown = true
  }

  /** How many characters a line may have; a pipe takes any number. */
  get width(): number {
    return this.#stdout.isTTY ? this.#stdout.columns : Number.POSITIVE_INFINITY
  }

  colour(colour: Colour, text: string): string {
    return this.#colours ? styleText(colour, text) : text
  }

  /** `undefined` where nobody can be asked. */
  async confirm(question: string): Promise<boolean | undefined> {
    if (!process.stdin.isTTY || !this.#stderr.isTTY) return undefined
    this.#clearProgress()
    const ask = createInterface({ input: process.stdin, output: this.#stderr })
    const answer = await new Promise<string | undefined>((resolve) => {
      ask.question(`${question} [y/N] `, resolve)
      // Ctrl+C, and the end of the input, Ctrl+D; the cursor is behind the question.
      ask.once('close', () => resolve(undefined))
    })
    if (answer === undefined) this.#stderr.write('\n')
    ask.close()
    return /^y(es)?$/i.test(answer?.trim() ?? '')
  }

  #clearProgress(): void {
    if (this.#progressShown) this.#stderr.write(clearLine)
    this.#progressShown = false
  }
}
