import { messageOf } from '../messages/jws.js'
import { Problem, type ProblemDocument } from '../messages/problem.js'

/** What the CA does between requests: validations and issuances. All of it ends when the CA closes. */
export class Background {
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<void>>()

  /** Aborts when the CA closes. */
  get signal(): AbortSignal {
    return this.#closing.signal
  }

  /**
   * Starts some work.
   * @param failed told why the work was rejected, unless the CA is closing
   * @returns fulfilled when the work has ended, in whichever way
   */
  start(work: () => Promise<void>, failed: (error: ProblemDocument) => void): Promise<void> {
    const task = work().catch((error: unknown) => {
      if (!this.signal.aborted) failed(documentOf(error))
    })
    this.#running.add(task)
    return task.finally(() => this.#running.delete(task))
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('The CA is closing'))
    await Promise.all(this.#running)
  }
}

/** What an error looks like to the client: a problem as it is, anything else as serverInternal. */
export function documentOf(error: unknown): ProblemDocument {
  return (error instanceof Problem ? error : new Problem('serverInternal', messageOf(error))).document
}
