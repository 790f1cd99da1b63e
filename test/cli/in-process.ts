import { PassThrough } from 'node:stream'
import { AzureBlobCertCache } from '../../src/index.js'
import { azurite, freshContainer } from '../support/azure.js'
import { accessTo, type CliRun } from '../support/cli.js'
import { checked } from '../support/operator.js'

const main = new URL('../../src/cli/main.ts', import.meta.url).href

export interface InProcessOptions {
  /** Environment variables in addition to PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>
  /** Maps the real time to the time of this machine, in ms since the epoch. Default: they are the same. */
  readonly clock?: (now: number) => number
  /** Replaces performance.now. Default: always 0, so that nothing counts as slow. */
  readonly stopwatch?: () => number
  /** The width of a terminal behind the standard streams. Default: they are pipes. */
  readonly columns?: number
  /** Whether that terminal has colours. Default: false. */
  readonly colours?: boolean
  /** Returns what the operator types at a prompt; called while the command waits. */
  readonly answer?: () => Promise<string>
}

let runs = 0

/**
 * Runs the command as main.ts does, without starting a process: one run takes milliseconds instead of half a second.
 * Runs follow one another, since they replace the standard streams and the environment of this process.
 */
export async function runInProcess(
  args: readonly string[],
  {
    env = {},
    clock = (now) => now,
    stopwatch = () => 0,
    columns,
    colours = false,
    answer,
  }: InProcessOptions = {},
): Promise<CliRun> {
  const output = { stdout: '', stderr: '' }
  const stdin = new PassThrough()
  const isTTY = columns !== undefined
  const { argv, stdout, stderr } = process
  const { now } = Date
  const listeners = stdout.listeners('error')
  const onStderr = (text: string) => {
    output.stderr += text
    if (!text.includes('[y/N] ')) return
    if (answer) void answer().then((typed) => stdin.end(typed))
    else stdin.end()
  }
  const restores = [
    replace(process, 'argv', [...argv.slice(0, 2), ...args]),
    replace(process, 'stdin', Object.assign(stdin, { isTTY })),
    replace(process, 'env', { PATH: process.env.PATH, HOME: process.env.HOME, ...env }),
    replace(stdout, 'isTTY', isTTY),
    replace(stderr, 'isTTY', isTTY),
    replace(stdout, 'columns', columns),
    replace(stdout, 'hasColors', () => colours),
    replace(stdout, 'write', (text: string) => {
      output.stdout += text
      return true
    }),
    replace(stderr, 'write', (text: string) => {
      onStderr(text)
      return true
    }),
    replace(Date, 'now', () => clock(now())),
    replace(performance, 'now', stopwatch),
  ]
  try {
    // A new query loads main.ts again, which runs the command.
    await import(/* @vite-ignore */ `${main}?run=${++runs}`)
    return { code: Number(process.exitCode), ...output }
  } finally {
    process.exitCode = undefined
    for (const restore of restores.reverse()) restore()
    for (const listener of stdout.listeners('error')) {
      if (!listeners.includes(listener)) stdout.off('error', listener as () => void)
    }
  }
}

/** Replaces a property, and returns a function that restores it. */
function replace(target: object, name: string, value: unknown): () => void {
  const former = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable: true })
  return () => {
    if (former) Object.defineProperty(target, name, former)
    else Reflect.deleteProperty(target, name)
  }
}

/** A new container, a store on it, and the command as its operator runs it. */
export async function openOperator() {
  const { client, connect } = await freshContainer()
  const { containerName } = connect
  const store = await AzureBlobCertCache.connect({ ...connect, timeoutMs: 60_000 })
  /** @param endpoint of a proxy in front of the service */
  const runWith = async (
    { endpoint, ...options }: InProcessOptions & { readonly endpoint?: string },
    command: string,
    ...args: string[]
  ) => {
    const { flags, env } = accessTo(containerName, endpoint ?? azurite().endpoint)
    return checked(
      await runInProcess([command, ...flags, ...args], { ...options, env: { ...env, ...options.env } }),
    )
  }
  const run = (command: string, ...args: string[]) => runWith({}, command, ...args)
  return {
    client,
    connect,
    store,
    run,
    runWith,
    /** The objects that a command prints with `--json`. */
    async json(command: string, ...args: string[]) {
      const { stdout } = await run(command, '--json', ...args)
      return stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    },
    /** All keys in the container, sorted. */
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
