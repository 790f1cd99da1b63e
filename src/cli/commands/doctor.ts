import { readFile } from 'node:fs/promises'
import { type Command, type Flags, stringFlag } from '../console/arguments.js'
import { formatError } from '../console/error-message.js'
import { UsageError } from '../console/errors.js'
import { toFileError } from '../console/files.js'
import { replaceControlCharacters } from '../console/format.js'
import type { Terminal } from '../console/terminal.js'
import { withCleanup } from '../console/with-cleanup.js'
import { connect } from '../container/connection.js'
import { checkCa } from '../doctor/ca.js'
import { type Check, type Finding, failed } from '../doctor/finding.js'
import { checkHost, createResolver } from '../doctor/host.js'
import { checkStore } from '../doctor/store.js'
import { caFlags, directoryUrl, selectCa } from '../flags/ca.js'
import { connectionFlags } from '../flags/connection.js'
import { parseHost } from '../flags/target.js'

const flags: Flags = {
  ...connectionFlags,
  ...caFlags,
  ca: { value: 'FILE', help: 'PEM certificates to trust for the endpoint of a private CA' },
  dns: {
    value: 'ADDRESS',
    help: 'name server for HOST, as IP or IP:PORT (default: those of this machine)',
  },
  'http-port': { value: 'PORT', help: 'port on which to check HOST (default: 80, the port that CAs use)' },
  json: { help: 'print one JSON object per line' },
}

export const doctor: Command = {
  usage: 'doctor [HOST] [flags]',
  summary: 'Check the container, the CA and, for a host, DNS, CAA records and port 80',
  details: `Run it on a machine where your servers run. Writes, leases and deletes a test blob named doctor-UUID and, with HOST, a
challenge answer. Places no order and creates no account. Prints a line for each check: ok, warning or failed. The exit
code is 1 if a check failed.`,
  operands: [0, 1],
  flags,
  async run(args, terminal) {
    const host = args.operands.length > 0 ? parseHost(args) : undefined
    const ca = selectCa(args)
    const url = directoryUrl(args)
    const httpPort = parsePort(stringFlag(args, 'http-port') ?? '80')
    const resolver = createResolver(stringFlag(args, 'dns'))
    const caFile = stringFlag(args, 'ca')
    const trustedCertificates = caFile === undefined ? undefined : await readCaFile(caFile)
    const connection = await connect(args)
    let failures = 0
    await withCleanup(async (signal) => {
      const check: Check = async (name, run) => {
        signal.throwIfAborted()
        const finding = await run().catch((thrown: unknown) => failed(formatError(thrown)))
        if (finding.status === 'failed') failures += 1
        signal.throwIfAborted()
        await printFinding(terminal, args.flags.json === true, name, finding)
        return finding
      }
      const isWritable = await checkStore(check, connection)
      const caaIdentities = await checkCa(check, { url, ca, trustedCertificates, store: connection.store })
      if (host === undefined) return
      const store = isWritable ? connection.store : undefined
      await checkHost(check, { host, httpPort, resolver, caaIdentities, ca, store })
    })
    return failures === 0 ? 0 : 1
  },
}

const colours = { ok: 'green', warning: 'yellow', failed: 'red' } as const

async function printFinding(terminal: Terminal, json: boolean, check: string, { status, text }: Finding) {
  const line = replaceControlCharacters(text.split('\n', 1)[0] as string)
  if (json) return terminal.printJson({ check, status, text: line })
  await terminal.printLine(`${terminal.colourise(colours[status], status.padEnd(7))}  ${check}: ${line}`)
}

function parsePort(value: string): number {
  const port = Number(value)
  if (/^\d{1,5}$/.test(value) && port >= 1 && port <= 65_535) return port
  throw new UsageError('--http-port must be a port from 1 to 65535')
}

async function readCaFile(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (thrown) {
    throw toFileError(thrown, 'read', file)
  }
}
