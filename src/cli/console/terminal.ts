import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { styleText } from 'node:util'

type Colour = Parameters<typeof styleText>[0]

const progressIntervalMs = 200
/** A command that ends sooner shows no progress. */
const progressDelayMs = 1_000
const clearLine = '\r\u001b[K'

/** Writes results to standard output, and notes, progress and questions to standard error. */
export class Terminal {
  readonly #stdout = process.stdout
  readonly #stderr = process.stderr
  readonly #hasColours = this.#stdout.isTTY && this.#stdout.hasColors()
  /** A dumb terminal cannot clear a line. */
  readonly #canClearLine = this.#stderr.isTTY && process.env.TERM !== 'dumb'
  #nextProgressAt: number | undefined
  #isProgressShown = false

  /** Waits while a pipe is full, so that lines do not pile up in memory. */
  async printLine(text: string): Promise<void> {
    this.#clearProgress()
    if (!this.#stdout.write(`${text}\n`)) await once(this.#stdout, 'drain')
  }

  async printJson(value: unknown): Promise<void> {
    await this.printLine(JSON.stringify(value))
  }

  printNote(text: string): void {
    this.#clearProgress()
    this.#stderr.write(`${text}\n`)
  }

  printWarning(text: string): void {
    this.printNote(`acme-cert-cache: warning: ${text}`)
  }

  /** Updates the progress line, at most five times a second. Does nothing if the terminal cannot clear a line. */
  showProgress(formatText: () => string): void {
    const now = performance.now()
    this.#nextProgressAt ??= now + progressDelayMs
    if (!this.#canClearLine || now < this.#nextProgressAt) return
    this.#nextProgressAt = now + progressIntervalMs
    this.#stderr.write(`${clearLine}${formatText()}`)
    this.#isProgressShown = true
  }

  /** The characters that fit on a line; infinite for a pipe or a file. */
  get width(): number {
    return this.#stdout.isTTY ? this.#stdout.columns : Number.POSITIVE_INFINITY
  }

  colourise(colour: Colour, text: string): string {
    return this.#hasColours ? styleText(colour, text) : text
  }

  /** Asks a yes-or-no question. Resolves with `undefined` if there is no terminal to ask on. */
  async confirm(question: string): Promise<boolean | undefined> {
    if (!process.stdin.isTTY || !this.#stderr.isTTY) return undefined
    this.#clearProgress()
    const prompt = createInterface({ input: process.stdin, output: this.#stderr })
    const answer = await new Promise<string | undefined>((resolve) => {
      prompt.question(`${question} [y/N] `, resolve)
      // Ctrl+C, or the end of the input.
      prompt.once('close', () => resolve(undefined))
    })
    // Without an answer, the cursor is still on the question's line.
    if (answer === undefined) this.#stderr.write('\n')
    prompt.close()
    return /^y(es)?$/i.test(answer?.trim() ?? '')
  }

  #clearProgress(): void {
    if (this.#isProgressShown) this.#stderr.write(clearLine)
    this.#isProgressShown = false
  }
}
