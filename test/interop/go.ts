import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { inject } from 'vitest'
import type { TestCa } from '../../src/testing/index.js'
import type { freshContainer } from '../support/azure.js'

type Connect = Awaited<ReturnType<typeof freshContainer>>['connect']

/** A Go program whose autocert.Manager serves or orders, with the CA and the container that it was started for. */
export interface GoServer {
  readonly tlsPort: number
  readonly httpPort: number
  /** Resolves when the program ends, or rejects with its error output. */
  readonly ended: Promise<void>
  /** Makes `issue` begin. */
  begin(): void
  close(): Promise<void>
}

/** Runs the Go side's commands on one container. */
export class Go {
  readonly #environment: NodeJS.ProcessEnv

  constructor({ accountName, accountKey, endpoint, containerName }: Connect, ca?: TestCa) {
    this.#environment = {
      ...process.env,
      AZURE_STORAGE_ACCOUNT: accountName,
      AZURE_STORAGE_KEY: accountKey,
      AZURE_STORAGE_ENDPOINT: endpoint,
      AZURE_STORAGE_CONTAINER: containerName,
      ACME_DIRECTORY: ca?.directoryUrl,
      ACME_ROOT: ca?.endpointCertificate,
    }
  }

  /** Returns the value that Go reads under a key. */
  get(key: string): Promise<Buffer> {
    return this.#run(['get', key])
  }

  async put(key: string, data: Uint8Array): Promise<void> {
    await this.#run(['put', key], data)
  }

  /** Encodes a key and a chain in PEM with Go's encoders, as autocert does. */
  encode(pem: string): Promise<Buffer> {
    return this.#run(['encode'], Buffer.from(pem))
  }

  /** Starts the servers of an autocert.Manager. @param renewBefore in Go's notation, such as `45s` */
  serve({ renewBefore = '0s' } = {}): Promise<GoServer> {
    return this.#start(['serve', '-renew-before', renewBefore])
  }

  /** Starts servers that order certificates for h1.domain, h2.domain, … after `begin`, and then end. */
  issue(count: number, domain: string): Promise<GoServer> {
    return this.#start(['issue', String(count), '-domain', domain])
  }

  #spawn(args: string[]) {
    const child = spawn(inject('goProgram'), args, {
      env: this.#environment,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    // The program may end before it has read all input.
    child.stdin.on('error', () => undefined)
    return child
  }

  async #run(args: string[], input?: Uint8Array): Promise<Buffer> {
    const child = this.#spawn(args)
    child.stdin.end(input)
    const [stdout, stderr] = await Promise.all([
      buffer(child.stdout),
      buffer(child.stderr),
      child.exitCode === null && once(child, 'exit'),
    ])
    if (child.exitCode !== 0) throw new Error(`interop ${args.join(' ')}: ${stderr}`)
    return stdout
  }

  async #start(args: string[]): Promise<GoServer> {
    const child = this.#spawn(args)
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk
    })
    const ended = new Promise<void>((resolve, reject) => {
      child.once('close', (code) => {
        if (code === 0) resolve()
        else reject(new Error(`interop ${args.join(' ')} ended with ${code}: ${stderr}`))
      })
    })
    ended.catch(() => undefined)
    const line = await Promise.race([firstLine(child), ended])
    return {
      ...(JSON.parse(String(line)) as { tlsPort: number; httpPort: number }),
      ended,
      begin: () => void child.stdin.write('\n'),
      async close() {
        child.stdin.end()
        await ended
      },
    }
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  let text = ''
  for await (const chunk of child.stdout!.setEncoding('utf8')) {
    text += chunk
    if (text.includes('\n')) return text
  }
  throw new Error('no line')
}
