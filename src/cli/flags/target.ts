import { normalizeHost } from '../../certificates/hostname.js'
import type { KeyType, StorageLayout } from '../../certificates/storage-layout.js'
import { type Flags, type Given, printable, UsageError } from '../console/arguments.js'
import { caFlags, connectionFlags, layoutOf } from '../container/connection.js'

/** Of the commands about one certificate. */
export const targetFlags: Flags = {
  ...connectionFlags,
  ...caFlags,
  rsa: { help: 'the host’s RSA certificate, stored as HOST+rsa, in place of the ECDSA one' },
}

export interface Target {
  readonly host: string
  readonly keyType: KeyType
  readonly layout: StorageLayout
}

export function targetOf(given: Given): Target {
  const keyType = given.flags.rsa === true ? 'rsa-2048' : 'ecdsa-p256'
  return { host: hostOf(given), keyType, layout: layoutOf(given, keyType) }
}

/** The first operand, as certificates and keys have it. */
export function hostOf({ operands: [name = ''] }: Given): string {
  const host = normalizeHost(name)
  if (host !== undefined) return host
  throw new UsageError(`${printable(name.slice(0, 80))} is no DNS name that a CA would issue for`)
}
