import { parseArgs } from 'node:util'
import { UsageError } from './errors.js'
import type { Terminal } from './terminal.js'

export interface Flag {
  /** The value's name in the help; absent for a boolean flag. */
  readonly value?: string
  readonly help: string
}

export type Flags = Readonly<Record<string, Flag>>

export interface ParsedArguments {
  readonly flags: Readonly<Record<string, string | boolean | undefined>>
  readonly operands: readonly string[]
}

export interface Command {
  /** The command's name and arguments, such as `show HOST`. */
  readonly usage: string
  /** What the command does, in the imperative: one line for the list of commands. */
  readonly summary: string
  /** Further lines for the command's own help. */
  readonly details?: string
  /** How many operands the command accepts. */
  readonly operands: readonly [min: number, max: number]
  readonly flags: Flags
  /** Resolves with the exit code. */
  run(args: ParsedArguments, terminal: Terminal): Promise<number>
}

/**
 * Parses the arguments that follow a command's name. With `--help`, the number of operands is not checked.
 * @throws {UsageError} for an unknown flag, a missing or empty value, or a wrong number of operands
 */
export function parseArguments(command: Command, argv: readonly string[]): ParsedArguments {
  const flags: Flags = { ...command.flags, help: { help: 'show this help' } }
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { value }]) => [
      name,
      { type: value === undefined ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  const { values, positionals } = parseStrictly(argv, { ...options, help: { type: 'boolean', short: 'h' } })
  const [min, max] = command.operands
  const unexpected = positionals[max]
  if (values.help !== true && unexpected !== undefined) {
    throw new UsageError(`unexpected argument: ${unexpected}`)
  }
  // In `usage`, the required operands follow the command's name.
  const required = command.usage.split(' ').slice(1, 1 + min)
  if (values.help !== true && positionals.length < min) {
    throw new UsageError(`missing argument: ${required.slice(positionals.length).join(' ')}`)
  }
  const empty = Object.entries(values).find(([name, value]) => value === '' && name !== 'key-prefix')
  if (empty) throw new UsageError(`missing value: --${empty[0]}`)
  return { flags: values as ParsedArguments['flags'], operands: positionals }
}

function parseStrictly(
  argv: readonly string[],
  options: Record<string, { type: 'boolean' | 'string'; short?: string }>,
) {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true })
  } catch (thrown) {
    throw toUsageError(thrown as NodeJS.ErrnoException)
  }
}

/** Rewrites an error of Node's `parseArgs`, whose message quotes the flag: `Unknown option '--xyz'. To specify …`. */
function toUsageError({ code, message }: NodeJS.ErrnoException): UsageError {
  const [flag = ''] = /--?[^\s'=,]+/.exec(message) ?? []
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') return new UsageError(`unknown flag: ${flag}`)
  if (message.includes('does not take')) return new UsageError(`unexpected value: ${flag} does not take one`)
  return new UsageError(`missing value: ${flag}`)
}

/** Returns the value of a flag that is not boolean. */
export const stringFlag = ({ flags }: ParsedArguments, name: string): string | undefined =>
  flags[name] as string | undefined

/**
 * Converts a flag's value such as `90m`, `12h`, `14d` or `2w` to milliseconds.
 * @throws {UsageError} for any other value
 */
export function parseDuration(flag: string, value: string): number {
  const [, count, unit] = /^(\d{1,6})([mhdw])$/.exec(value) ?? []
  const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }[unit ?? '']
  if (unitMs === undefined) throw new UsageError(`--${flag} must be a time such as 90m, 12h, 14d or 2w`)
  return Number(count) * unitMs
}
