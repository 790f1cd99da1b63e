import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { azurite } from './azure.js'

const bin = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface CliRun {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  /** Environment variables besides PATH and HOME. No credentials are inherited. */
  env?: Record<string, string>
  /** Arguments for Node itself. */
  node?: readonly string[]
  /** Path of the built command. Default: the one of this package. */
  bin?: string
  onOutput?: (chunk: string) => void
  onStart?: (child: ChildProcess) => void
  /** Text for standard input. Default: none. */
  input?: string
}

/** Runs the built command in a child process without a terminal. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [...(options.node ?? []), options.bin ?? bin, ...args], {
    env: { PATH, HOME, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  options.onStart?.(child)
  child.stdin.end(options.input ?? '')
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    if (options.onOutput) options.onOutput(chunk)
    else stdout += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** Returns the flags and environment variables with which the command connects to a container in Azurite. */
export function accessTo(containerName: string, endpoint = azurite().endpoint) {
  const { accountName, accountKey } = azurite()
  return {
    flags: ['--container', containerName, '--endpoint', endpoint],
    env: { AZURE_STORAGE_ACCOUNT: accountName, AZURE_STORAGE_KEY: accountKey },
  }
}
