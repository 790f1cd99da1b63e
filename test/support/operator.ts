import { expect } from 'vitest'
import { AzureBlobCertCache } from '../../src/index.js'
import { freshContainer } from './azure.js'
import { accessTo, type CliRun, runCli } from './cli.js'

/** Creates a container, a store on it, and functions that run the command on it. */
export async function makeOperator() {
  const { client, connect } = await freshContainer()
  const { containerName } = connect
  const store = await AzureBlobCertCache.connect(connect)
  const { flags, env } = accessTo(containerName)
  /** Runs a command in a process whose clock is off by `shiftMs`. */
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
    /** Runs a command with `--json` and returns the objects it prints. */
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

/** Returns the status of each check of doctor; a warning about a slow store counts as ok. */
export const statuses = (checks: Record<string, { status?: string; text?: string }>) =>
  Object.fromEntries(
    Object.entries(checks).map(([check, { status, text = '' }]) => [
      check,
      /, \d+ ms: servers wait as long/.test(text) ? 'ok' : status,
    ]),
  )

/** Asserts that the output of a run contains no private key, no secret and no stack trace. */
export function checked(result: CliRun): CliRun {
  const output = result.stdout + result.stderr
  expect(output).not.toMatch(/PRIVATE KEY-----|^\s+at |\bnode:internal/m)
  for (const secret of secrets) expect(output).not.toContain(secret)
  return result
}

const secrets = new Set<string>()

/** Adds a secret that no later output may contain: a text, or each line of a private key in PEM. */
export function keepSecret(text: string): void {
  for (const line of text.split('\n')) if (line !== '' && !line.startsWith('-----')) secrets.add(line)
}
