import { parseArgs } from 'node:util'
import type { Terminal } from './terminal.js'

/** What was typed can't be meant: exit code 2, with a word about the help. */
export class UsageError extends Error {}

/** It can't be done, and the message says what to do: exit code 1. */
export class CommandError extends Error {}

export interface Flag {
  /** What its value is called in the help; without one it takes none. */
  readonly value?: string
  readonly help: string
}

export type Flags = Readonly<Record<string, Flag>>

/** The arguments of a command: flags that were given, and operands. */
export interface Given {
  readonly flags: Readonly<Record<string, string | boolean | undefined>>
  readonly operands: readonly string[]
}

export interface Command {
  /** What follows the program's name, such as `show HOST`. */
  readonly usage: string
  /** One line for the list of commands. */
  readonly summary: string
  /** More lines for the command's own help. */
  readonly details?: string
  /** How many operands it takes. */
  readonly operands: readonly [least: number, most: number]
  readonly flags: Flags
  /** Resolves with the exit code. */
  run(given: Given, terminal: Terminal): Promise<number>
}

/** @throws {UsageError} */
export function parse(command: Command, args: readonly string[]): Given {
  const all: Flags = { ...command.flags, help: { help: 'what this command takes' } }
  const options = Object.fromEntries(
    Object.entries(all).map(([name, { value }]) => [
      name,
      { type: value === undefined ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  const { values, positionals } = parsed(args, { ...options, help: { type: 'boolean', short: 'h' } })
  const [least, most] = command.operands
  const surplus = positionals[most]
  if (values.help !== true && surplus !== undefined) throw new UsageError(`${printable(surplus)} is too much`)
  // In the usage they follow the command's name.
  const wanted = command.usage.split(' ').slice(1, 1 + least)
  if (values.help !== true && positionals.length < least) throw new UsageError(`takes ${wanted.join(' ')}`)
  const empty = Object.entries(values).find(([name, value]) => value === '' && name !== 'key-prefix')
  if (empty) throw new UsageError(`--${empty[0]} needs a value`)
  return { flags: values as Given['flags'], operands: positionals }
}

function parsed(
  args: readonly string[],
  options: Record<string, { type: 'boolean' | 'string'; short?: string }>,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (thrown) {
    // It goes on about operands that begin with a dash.
    throw new UsageError(((thrown as Error).message.split(/\. |\n/, 1)[0] as string).replace(/\.$/, ''))
  }
}

/** The value of a flag that takes one. */
export const textOf = ({ flags }: Given, name: string): string | undefined =>
  flags[name] as string | undefined

/** Milliseconds of `90m`, `12h`, `14d`, `2w`. */
export function duration(name: string, value: string): number {
  const [, count, unit] = /^(\d{1,6})([mhdw])$/.exec(value) ?? []
  const ms = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }[unit ?? '']
  if (ms === undefined) throw new UsageError(`--${name} takes a time such as 90m, 12h, 14d or 2w`)
  return Number(count) * ms
}

/** What others wrote, such as a CA's name in a certificate: without what a terminal would act on. */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '�')
