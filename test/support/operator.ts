import { expect } from 'vitest'
import { AzureBlobCertCache } from '../../src/index.js'
import { freshContainer } from './azure.js'
import { accessTo, type CliRun, runCli } from './cli.js'

/** A container, a store on it, and the command as its operator uses it. */
export async function makeOperator() {
  const { client, connect } = await freshContainer()
  const { containerName } = connect
  const store = await AzureBlobCertCache.connect(connect)
  const { flags, env } = accessTo(containerName)
  /** On a machine whose clock is wrong by so many milliseconds. */
  const runAt = async (shiftMs: number, command: string, ...args: string[]): Promise<CliRun> => {
    const shift = `const { now } = Date; Date.now = () => now() + ${shiftMs}`
    const node = shiftMs === 0 ? [] : ['--import', `data:text/javascript,${encodeURIComponent(shift)}`]
    return checked(await runCli([command, ...flags, ...args], { env, node }))
  }
  const run = (command: string, ...args: string[]) => runAt(0, command, ...args)
  return {
    client,
    connect,
    store,
    run,
    runAt,
    /** The objects that a command with `--json` gives. */
    async json(command: string, ...args: string[]) {
      const { stdout } = await run(command, '--json', ...args)
      return stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    },
    async keys() {
      const names: string[] = []
      for await (const { name } of store.list()) names.push(name)
      return names
    },
    async text(key: string) {
      const data = await store.get(key)
      return data && Buffer.from(data).toString()
    },
  }
}

/** What doctor found, however long it took on this machine. */
export const statuses = (found: Record<string, { status?: string; text?: string }>) =>
  Object.fromEntries(
    Object.entries(found).map(([check, { status, text = '' }]) => [
      check,
      /, \d+ ms: servers wait as long/.test(text) ? 'ok' : status,
    ]),
  )

/** What holds of every run: no private key, no account key, no stack trace. */
export function checked(result: CliRun): CliRun {
  const output = result.stdout + result.stderr
  expect(output).not.toMatch(/PRIVATE KEY-----|^\s+at |\bnode:internal/m)
  for (const secret of secrets) expect(output).not.toContain(secret)
  return result
}

const secrets = new Set<string>()

/** Must be in no output, from now on: a private key in PEM, line by line, or a text. */
export function keepSecret(text: string): void {
  for (const line of text.split('\n')) if (line !== '' && !line.startsWith('-----')) secrets.add(line)
}
