import { type CertId, certName } from '../../certificates/certificate-id.js'
import { type Host, normalizeHost } from '../../certificates/hostname.js'
import type { Flags, ParsedArguments } from '../console/arguments.js'
import { UsageError } from '../console/errors.js'
import { replaceControlCharacters } from '../console/format.js'
import { caFlags, selectCa } from './ca.js'
import { connectionFlags } from './connection.js'

/** The flags of commands about one certificate. */
export const targetFlags: Flags = {
  ...connectionFlags,
  ...caFlags,
  rsa: { help: 'the host’s RSA certificate, stored as HOST+rsa, in place of the ECDSA one' },
}

/** The host and the certificate that a command is about. */
export interface Target {
  readonly host: Host
  readonly id: CertId
}

/** @throws {UsageError} for an invalid host, URL or prefix */
export function parseTarget(args: ParsedArguments): Target {
  const host = parseHost(args)
  const keyType = args.flags.rsa === true ? 'rsa-2048' : 'ecdsa-p256'
  return { host, id: { ca: selectCa(args), name: certName(host), keyType } }
}

/**
 * Returns the first operand, normalised as in certificates and keys.
 * @throws {UsageError} unless it is a DNS name that a public CA issues for
 */
export function parseHost({ operands: [operand = ''] }: ParsedArguments): Host {
  const host = normalizeHost(operand)
  if (host !== undefined) return host
  const shown = replaceControlCharacters(operand.slice(0, 80))
  throw new UsageError(`${shown} is no DNS name that a CA would issue for`)
}
