import { expect, test } from 'vitest'
import { runCli } from '../support/cli.js'
import { checked } from '../support/operator.js'
import { oneLine } from './one-line.js'
import { commands, unusableStores } from './unusable-store.js'

const pairs = commands.flatMap((command) => [0, 1, 2, 3, 4, 5].map((index) => [command, index] as const))

test.each(pairs)('%j in a process reports unusable store %i in one line', async (command, index) => {
  const stores = await unusableStores()
  expect(stores).toHaveLength(6)
  const { flags, env, message } = stores[index] as (typeof stores)[number]
  const [name, ...args] = command
  const result = checked(await runCli([name, ...flags, ...args], { env }))
  expect(result).toEqual({ code: 1, stdout: '', stderr: oneLine(message) })
})
