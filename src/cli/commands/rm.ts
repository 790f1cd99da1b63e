import { entryKey } from '../../certificates/storage-layout.js'
import type { Command } from '../console/arguments.js'
import { confirmRemoval } from '../console/confirm-removal.js'
import { formatCount } from '../console/format.js'
import { connect } from '../container/connection.js'
import { conflictCode } from '../container/service-code.js'
import { notFoundError } from '../container/stored-certificate.js'
import { parseTarget, targetFlags, targetHelp } from '../flags/target.js'

export const rm: Command = {
  usage: 'rm HOST [flags]',
  summary: 'Remove a certificate and its failure and renewal records',
  details: `Servers that have the certificate in memory continue to serve it. The next server that needs it places a new order.
Lists the blobs first, and asks for confirmation; without a terminal, pass --yes.
${targetHelp}`,
  operands: [1, 1],
  flags: { ...targetFlags, yes: { help: 'remove without a confirmation prompt' } },
  async run(args, terminal) {
    const target = parseTarget(args)
    const connection = await connect(args)
    const { store, containerName } = connection
    const keys = (['certificate', 'failure', 'renewal'] as const).map((kind) =>
      entryKey({ kind, id: target.id }),
    )
    const exists = async (key: string) => {
      try {
        return (await store.get(key)) !== undefined
      } catch (thrown) {
        if (conflictCode(thrown) === undefined) throw thrown
        return true
      }
    }
    const found = await Promise.all(keys.map(async (key) => ((await exists(key)) ? [key] : [])))
    const existingKeys = found.flat()
    if (existingKeys.length === 0) throw await notFoundError(target, connection)
    for (const key of existingKeys) await terminal.printLine(key)
    const question = `Remove ${formatCount(existingKeys.length, 'blob')} from container "${containerName}"?`
    if (!(await confirmRemoval(question, args.flags.yes === true, terminal))) return 1
    for (const key of existingKeys) await store.delete(key)
    terminal.printNote(`removed ${formatCount(existingKeys.length, 'blob')}`)
    return 0
  },
}
