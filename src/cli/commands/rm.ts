import { entryKey } from '../../certificates/storage-layout.js'
import type { Command } from '../console/arguments.js'
import { confirmRemoval } from '../console/confirm-removal.js'
import { CommandError } from '../console/errors.js'
import { connect } from '../container/connection.js'
import { unreadableReason } from '../container/unreadable-blob.js'
import { parseTarget, targetFlags } from '../flags/target.js'

export const rm: Command = {
  usage: 'rm HOST [flags]',
  summary: 'removes a host’s certificate, and what is known of its failures and renewal',
  details: `Machines that have the certificate in memory go on serving it; the next one without it orders a new one.
Asks on a terminal; elsewhere it needs --yes.`,
  operands: [1, 1],
  flags: { ...targetFlags, yes: { help: 'don’t ask' } },
  async run(args, terminal) {
    const { id } = parseTarget(args)
    const { store, containerName } = await connect(args)
    const keys = (['certificate', 'failure', 'renewal'] as const).map((kind) => entryKey({ kind, id }))
    const exists = async (key: string) => {
      try {
        return (await store.get(key)) !== undefined
      } catch (thrown) {
        if (unreadableReason(thrown) === undefined) throw thrown
        return true
      }
    }
    const found = await Promise.all(keys.map(async (key) => ((await exists(key)) ? [key] : [])))
    const existingKeys = found.flat()
    if (existingKeys.length === 0) {
      throw new CommandError(
        `there is no ${keys[0]} in container ${containerName}: see what there is with ls`,
      )
    }
    for (const key of existingKeys) await terminal.printLine(key)
    const question = `Remove from container ${containerName}?`
    if (!(await confirmRemoval(question, args.flags.yes === true, terminal))) return 1
    for (const key of existingKeys) await store.delete(key)
    terminal.printNote('removed')
    return 0
  },
}
