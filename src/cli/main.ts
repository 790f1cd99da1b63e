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
import { type Command, type Flags, parseArguments } from './console/arguments.js'
import { formatError, toSentence } from './console/error-message.js'
import { CommandError, UsageError } from './console/errors.js'
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

const environmentHelp = `Environment variables (credentials are never flags):
  AZURE_STORAGE_CONNECTION_STRING  connection string; ignored if --account or --endpoint is set
  AZURE_STORAGE_ACCOUNT            storage account
  AZURE_STORAGE_KEY                key of the account
  AZURE_STORAGE_SAS_TOKEN          SAS of the account or the container, used if there is no key
Without a connection string, key and SAS: DefaultAzureCredential, if @azure/identity is installed.

Exit codes: 0 success; 1 failed, refused, or found a problem in the container; 2 wrong usage`

// By default, V8 lets more than 100 MB of garbage accumulate when a container has many blobs.
setFlagsFromString('--optimize-for-size')

const terminal = new Terminal()

// EPIPE: the reader of a pipe, such as head, has closed it.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => exit(code === 'EPIPE' ? 0 : 1))
process.exitCode = await main(process.argv.slice(2))

/** Runs the command line and resolves with the exit code. */
async function main([name, ...argv]: string[]): Promise<number> {
  if (name === '--version' || name === '-v') return print(version())
  if (name === 'help' && argv[0] !== undefined) return main([argv[0], '--help'])
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    await print(overview())
    return name === undefined ? 2 : 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  try {
    if (!command) throw new UsageError(`unknown command: ${name.slice(0, 80)}`)
    const args = parseArguments(command, argv)
    if (args.flags.help === true) return print(formatHelp(command))
    return await command.run(args, terminal)
  } catch (thrown) {
    const { exitCode, message } = toExitStatus(thrown)
    const help = `Run "${program} ${command ? `${name} ` : ''}--help".`
    terminal.printNote(`${program}: ${exitCode === 2 ? `${toSentence(message)} ${help}` : message}`)
    return exitCode
  }
}

/** Converts any thrown value to an exit code and a message of one line. */
function toExitStatus(thrown: unknown): { exitCode: number; message: string } {
  const error = toError(thrown)
  const message = formatError(thrown)
  if (error instanceof UsageError) return { exitCode: 2, message }
  if (error instanceof CertCacheError || error instanceof CommandError) return { exitCode: 1, message }
  return { exitCode: 1, message: `unexpected error: ${error.name}: ${message}` }
}

/** Resolves with the exit code 0. */
async function print(text: string): Promise<number> {
  await terminal.printLine(text)
  return 0
}

function overview(): string {
  const commandList = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(8)}${summary}`)
  return `Usage: ${program} COMMAND [flags]

Manage the TLS certificates in an Azure Blob Storage container.

Commands:
${commandList.join('\n')}

Run "${program} COMMAND --help" for the flags of a command.

${environmentHelp}`
}

function formatHelp({ usage, summary, details, flags }: Command): string {
  const paragraphs = [`Usage: ${program} ${usage}`, `${summary}.`]
  if (details) paragraphs.push(details)
  paragraphs.push(`Flags:\n${formatFlags(flags)}`, environmentHelp)
  return paragraphs.join('\n\n')
}

function formatFlags(flags: Flags): string {
  const label = (name: string) => `  --${name} ${flags[name]?.value ?? ''}`
  const width = Math.max(...Object.keys(flags).map((name) => label(name).length)) + 2
  return Object.entries(flags)
    .map(([name, { help }]) => label(name).padEnd(width) + help)
    .join('\n')
}

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}
