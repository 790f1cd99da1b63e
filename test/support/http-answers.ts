import type { AnswerSource } from '../../src/server/http-handler.js'

/** The challenge answers of a test, and what the handler has requested. */
export class HttpAnswers implements AnswerSource {
  /** The answers of orders in this process, by token. */
  readonly pending = new Map<string, string>()
  /** The answers in the store, by token and host, with a space between them. */
  readonly stored = new Map<string, string>()
  /** What was read from the store: token, host and client. */
  readonly reads: (string | undefined)[][] = []
  readonly invalidNames: string[] = []
  /** Called before each read of the store. */
  before: () => unknown = () => {}

  pendingAnswer(token: string) {
    const answer = this.pending.get(token)
    return answer === undefined ? undefined : Buffer.from(answer)
  }

  async storedAnswer(token: string, host: string, client: string | undefined) {
    this.reads.push([token, host, client])
    await this.before()
    const answer = this.stored.get(`${token} ${host}`)
    return answer === undefined ? undefined : Buffer.from(answer)
  }

  onInvalidName(name: string) {
    this.invalidNames.push(name)
  }
}
