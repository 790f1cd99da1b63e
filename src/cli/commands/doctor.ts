import { readFile } from 'node:fs/promises'
import { type Command, type Flags, printable, textOf, UsageError } from '../console/arguments.js'
import { fileError } from '../console/files.js'
import { messageOf } from '../console/error-message.js'
import type { Terminal } from '../console/terminal.js'
import { withCleanup } from '../console/with-cleanup.js'
import { caFlags, connect, connectionFlags, directoryUrl, layoutOf } from '../container/connection.js'
import { hostOf } from '../flags/target.js'
import { checkCa } from '../doctor/ca.js'
import { type Check, type Finding, failed } from '../doctor/finding.js'
import { checkHost, resolverOf } from '../doctor/host.js'
import { checkStore } from '../doctor/store.js'

const flags: Flags = {
  ...connectionFlags,
  ...caFlags,
  ca: { value: 'FILE', help: 'certificates to trust for a private CA’s own endpoint, PEM' },
  dns: {
    value: 'ADDRESS',
    help: 'the name server to ask about HOST, with or without a port; default: this machine’s',
  },
  'http-port': { value: 'PORT', help: 'where HOST is asked for an answer; default 80, where a CA asks' },
  json: { help: 'one JSON object per line' },
}

export const doctor: Command = {
  usage: 'doctor [HOST] [flags]',
  summary: 'whether container and CA can be used from here, and whether the CA would reach HOST',
  details: `Writes, leases and removes blobs called doctor-…, and with HOST a challenge answer. Orders nothing, and makes no
account. Each line is ok, warning or failed, with what to do. The exit code is 1 if one failed.`,
  operands: [0, 1],
  flags,
  async run(given, terminal) {
    const host = given.operands.length > 0 ? hostOf(given) : undefined
    const layout = layoutOf(given, 'ecdsa-p256')
    const url = directoryUrl(given)
    const httpPort = portOf(textOf(given, 'http-port') ?? '80')
    const resolver = resolverOf(textOf(given, 'dns'))
    const caFile = textOf(given, 'ca')
    const ca = caFile === undefined ? undefined : await readCa(caFile)
    const connection = await connect(given)
    let failures = 0
    await withCleanup(async (stopped) => {
      const check: Check = async (name, work) => {
        stopped.throwIfAborted()
        const finding = await work().catch((thrown: unknown) => failed(messageOf(thrown)))
        if (finding.status === 'failed') failures += 1
        stopped.throwIfAborted()
        await show(terminal, given.flags.json === true, name, finding)
        return finding
      }
      const writable = await checkStore(check, connection)
      const caaIdentities = await checkCa(check, { url, ca, layout, store: connection.store })
      if (host === undefined) return
      const store = writable ? connection.store : undefined
      await checkHost(check, { host, httpPort, resolver, caaIdentities, layout, store })
    })
    return failures === 0 ? 0 : 1
  },
}

const colours = { ok: 'green', warning: 'yellow', failed: 'red' } as const

async function show(terminal: Terminal, json: boolean, check: string, { status, text }: Finding) {
  const line = printable(text.split('\n', 1)[0] as string)
  if (json) return terminal.json({ check, status, text: line })
  await terminal.line(`${terminal.colour(colours[status], status.padEnd(7))}  ${check}: ${line}`)
}

function portOf(value: string): number {
  const port = Number(value)
  if (/^\d{1,5}$/.test(value) && port >= 1 && port <= 65_535) return port
  throw new UsageError('--http-port takes a port from 1 to 65535')
}

async function readCa(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (thrown) {
    throw fileError(thrown, 'read', file)
  }
}
