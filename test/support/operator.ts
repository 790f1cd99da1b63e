import { expect } from 'vitest'
import type { CliRun } from './cli.js'

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
