import { caPrefix, letsEncryptProduction } from '../../certificates/storage-layout.js'
import { toError } from '../../util/errors.js'
import { type Flags, type ParsedArguments, stringFlag } from '../console/arguments.js'
import { UsageError } from '../console/errors.js'

export const caFlags: Flags = {
  directory: { value: 'URL', help: "ACME directory of the CA (default: Let's Encrypt production)" },
  'key-prefix': { value: 'TEXT', help: 'value of the option acme.keyPrefix, if your servers set it' },
}

/** For commands that cover all CAs unless a flag selects one. */
export const optionalCaFlags: Flags = {
  ...caFlags,
  directory: { value: 'URL', help: 'ACME directory of one CA (default: all CAs)' },
}

/** @throws {UsageError} unless `--directory` is an https URL */
export function directoryUrl(args: ParsedArguments): string {
  const url = stringFlag(args, 'directory') ?? letsEncryptProduction
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
    throw new UsageError('--directory must be an https URL')
  }
  return url
}

/**
 * Returns the CA, as the prefix of its keys: the prefix that a manager with the same directory and `keyPrefix` uses.
 * @throws {UsageError} for a URL or a prefix that is invalid
 */
export function selectCa(args: ParsedArguments): string {
  try {
    return caPrefix(directoryUrl(args), stringFlag(args, 'key-prefix'))
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown
    throw new UsageError(`--key-prefix: ${toError(thrown).message}`)
  }
}

/**
 * Returns the selected CA, as the prefix of its keys, or `undefined` if no flag selects one.
 * @throws {UsageError} for a URL or a prefix that is invalid
 */
export function selectOptionalCa(args: ParsedArguments): string | undefined {
  const ca = selectCa(args)
  return Object.keys(caFlags).some((name) => stringFlag(args, name) !== undefined) ? ca : undefined
}
