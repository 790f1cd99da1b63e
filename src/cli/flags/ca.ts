import {
  defaultPrefix,
  type KeyType,
  letsEncryptProduction,
  type StorageLayout,
  storageLayout,
} from '../../certificates/storage-layout.js'
import { toError } from '../../util/errors.js'
import { type Flags, type ParsedArguments, stringFlag } from '../console/arguments.js'
import { UsageError } from '../console/errors.js'

export const caFlags: Flags = {
  directory: { value: 'URL', help: 'the CA’s directory; default: Let’s Encrypt’s production' },
  'key-prefix': { value: 'TEXT', help: 'the manager’s option acme.keyPrefix, where it is set' },
}

/** For commands that cover all CAs unless a flag selects one. */
export const optionalCaFlags: Flags = {
  ...caFlags,
  directory: { value: 'URL', help: 'a CA’s directory, to see its alone; default: all CAs' },
}

/** @throws {UsageError} unless `--directory` is an https URL */
export function directoryUrl(args: ParsedArguments): string {
  const url = stringFlag(args, 'directory') ?? letsEncryptProduction
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
    throw new UsageError('--directory takes an https URL')
  }
  return url
}

/**
 * Returns the storage layout that a manager with the same CA and key prefix uses.
 * @throws {UsageError} for a URL or a prefix that is invalid
 */
export function selectLayout(args: ParsedArguments, keyType: KeyType): StorageLayout {
  try {
    return storageLayout(directoryUrl(args), keyType, stringFlag(args, 'key-prefix'))
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown
    throw new UsageError(`--key-prefix: ${toError(thrown).message}`)
  }
}

/**
 * Returns the key prefix of the selected CA, or `undefined` if no flag selects one.
 * @throws {UsageError} for a URL or a prefix that is invalid
 */
export function selectedPrefix(args: ParsedArguments): string | undefined {
  const prefix = stringFlag(args, 'key-prefix')
  selectLayout(args, 'ecdsa-p256') // Only for its checks.
  if (prefix !== undefined) return prefix
  return stringFlag(args, 'directory') === undefined ? undefined : defaultPrefix(directoryUrl(args))
}
