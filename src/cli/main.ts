#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { CertCacheError, toError } from '../util/errors.js'
import { clean } from './commands/clean.js'
import { doctor } from './commands/doctor.js'
import { exportCertificate } from './commands/export.js'
import { importCertificates } from './commands/import.js'
import { ls } from './commands/ls.js'
import { rm } from './commands/rm.js'
import { show } from './commands/show.js'
import { type Command, CommandError, type Flags, parse, printable, UsageError } from './console/arguments.js'
import { messageOf } from './console/error-message.js'
import { Terminal } from './console/terminal.js'
import { exit } from './console/with-cleanup.js'

const program = 'acme-cert-cache'
const commands: Readonly<Record<string, Command>> = {
  ls,
  show,
  import: importCertificates,
  export: exportCertificate,
  rm,
  clean,
  doctor,
}

const environment = `Credentials come from the environment, never from flags: AZURE_STORAGE_CONNECTION_STRING, or with --account or
AZURE_STORAGE_ACCOUNT one of AZURE_STORAGE_KEY and AZURE_STORAGE_SAS_TOKEN; else DefaultAzureCredential, if
@azure/identity is installed. --account or --endpoint go before a connection string.

Exit codes: 0 done; 1 failed, refused, or something is wrong in the container; 2 wrong usage.`

// Without it V8 lets garbage grow to 100 MB and more before it collects it, on containers with many blobs.
setFlagsFromString('--optimize-for-size')

const terminal = new Terminal()

// Whoever reads the output has enough of it, such as head.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => exit(code === 'EPIPE' ? 0 : 1))
process.exitCode = await main(process.argv.slice(2))

async function main([name, ...args]: string[]): Promise<number> {
  if (name === '--version' || name === '-v') return say(version())
  if (name === 'help' && args[0] !== undefined) return main([args[0], '--help'])
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    await say(overview())
    return name === undefined ? 2 : 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  try {
    if (!command) throw new UsageError(`there is no command ${printable(name.slice(0, 80))}`)
    const given = parse(command, args)
    if (given.flags.help === true) return say(helpOf(command))
    return await command.run(given, terminal)
  } catch (thrown) {
    const { exitCode, message } = toExitStatus(thrown)
    const help = `; see ${program} ${command ? `${name} ` : ''}--help`
    terminal.note(`${program}: ${exitCode === 2 ? `${message.replace(/\.$/, '')}${help}` : message}`)
    return exitCode
  }
}

/** One line, whatever it was. */
function toExitStatus(thrown: unknown): { exitCode: number; message: string } {
  const error = toError(thrown)
  const message = messageOf(thrown)
  if (error instanceof UsageError) return { exitCode: 2, message }
  if (error instanceof CertCacheError || error instanceof CommandError) return { exitCode: 1, message }
  return { exitCode: 1, message: `unexpected ${error.name}: ${message}` }
}

async function say(text: string): Promise<number> {
  await terminal.line(text)
  return 0
}

function overview(): string {
  const list = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(8)}${summary}`)
  return `Usage: ${program} COMMAND [flags]

Certificates in an Azure Blob container, for the operator.

${list.join('\n')}

${program} COMMAND --help tells its flags.

${environment}`
}

function helpOf({ usage, summary, details, flags }: Command): string {
  const parts = [`Usage: ${program} ${usage}`, `${summary[0]?.toUpperCase()}${summary.slice(1)}.`]
  if (details) parts.push(details)
  parts.push(listOf(flags), environment)
  return parts.join('\n\n')
}

function listOf(flags: Flags): string {
  const left = (name: string) => `  --${name} ${flags[name]?.value ?? ''}`
  const width = Math.max(...Object.keys(flags).map((name) => left(name).length)) + 2
  return Object.entries(flags)
    .map(([name, { help }]) => left(name).padEnd(width) + help)
    .join('\n')
}

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}
