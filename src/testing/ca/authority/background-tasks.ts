import { type ProblemDocument, toProblemDocument } from '../messages/problem.js'

/** Runs validations and issuances between requests. All of them end when the CA closes. */
export class BackgroundTasks {
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<void>>()

  /** Aborts when the CA closes. */
  get signal(): AbortSignal {
    return this.#closing.signal
  }

  /**
   * Runs a task.
   * @param onFailure called with the problem when the task rejects, unless the CA is closing
   * @returns a promise that fulfils when the task has settled; it never rejects
   */
  run(task: () => Promise<void>, onFailure: (problem: ProblemDocument) => void): Promise<void> {
    const running = task().catch((error: unknown) => {
      if (!this.signal.aborted) onFailure(toProblemDocument(error))
    })
    this.#running.add(running)
    return running.finally(() => this.#running.delete(running))
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('The CA is closing'))
    await Promise.all(this.#running)
  }
}
