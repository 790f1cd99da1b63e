import { type Command, CommandError, UsageError } from '../console/arguments.js'
import type { Terminal } from '../console/terminal.js'
import { connect } from '../container/connection.js'
import { targetFlags, targetOf } from '../flags/target.js'
import { unreadable } from '../container/unreadable-blob.js'

export const rm: Command = {
  usage: 'rm HOST [flags]',
  summary: 'removes a host’s certificate, and what is known of its failures and renewal',
  details: `Machines that have the certificate in memory go on serving it; the next one without it orders a new one.
Asks on a terminal; elsewhere it needs --yes.`,
  operands: [1, 1],
  flags: { ...targetFlags, yes: { help: 'don’t ask' } },
  async run(given, terminal) {
    const { host, layout } = targetOf(given)
    const { store, containerName } = await connect(given)
    const keys = [layout.certificate(host), layout.failure(host), layout.renewal(host)]
    const isThere = async (key: string) => {
      try {
        return (await store.get(key)) !== undefined
      } catch (thrown) {
        if (unreadable(thrown) === undefined) throw thrown
        return true
      }
    }
    const found = await Promise.all(keys.map(async (key) => ((await isThere(key)) ? [key] : [])))
    const doomed = found.flat()
    if (doomed.length === 0) {
      throw new CommandError(
        `there is no ${keys[0]} in container ${containerName}: see what there is with ls`,
      )
    }
    for (const key of doomed) await terminal.line(key)
    if (!(await confirm(given.flags.yes === true, `Remove from container ${containerName}?`, terminal)))
      return 1
    for (const key of doomed) await store.delete(key)
    terminal.note('removed')
    return 0
  },
}

/** Whether to go on with what has been shown. */
export async function confirm(yes: boolean, question: string, terminal: Terminal): Promise<boolean> {
  if (yes) return true
  const answer = await terminal.confirm(question)
  if (answer === undefined)
    throw new UsageError('nothing was removed: without a terminal to ask on, give --yes')
  if (!answer) terminal.note('nothing was removed')
  return answer
}
