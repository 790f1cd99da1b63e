import { UsageError } from './errors.js'
import type { Terminal } from './terminal.js'

/**
 * Asks the user to confirm a removal, unless `skipPrompt` is set. Returns whether to remove.
 * @throws {UsageError} if there is no terminal to ask on
 */
export async function confirmRemoval(
  question: string,
  skipPrompt: boolean,
  terminal: Terminal,
): Promise<boolean> {
  if (skipPrompt) return true
  const isConfirmed = await terminal.confirm(question)
  if (isConfirmed === undefined) {
    throw new UsageError(
      'nothing was removed: the prompt needs a terminal. Pass --yes to remove without a prompt',
    )
  }
  if (!isConfirmed) terminal.printNote('nothing was removed')
  return isConfirmed
}
