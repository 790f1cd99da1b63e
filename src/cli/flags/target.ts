import { isCacheKey } from '../../cache/cert-cache.js'
import { type CertId, certName } from '../../certificates/certificate-id.js'
import { type Host, normalizeHost } from '../../certificates/hostname.js'
import { parseKey } from '../../certificates/storage-layout.js'
import type { Flags, ParsedArguments } from '../console/arguments.js'
import { UsageError } from '../console/errors.js'
import { replaceControlCharacters } from '../console/format.js'
import { caFlags, selectCa, selectOptionalCa } from './ca.js'
import { connectionFlags } from './connection.js'

/** The flags of commands about one certificate. */
export const targetFlags: Flags = {
  ...connectionFlags,
  ...caFlags,
  rsa: { help: 'select the RSA certificate, stored as HOST+rsa, instead of the ECDSA one' },
}

/** A paragraph for the help of these commands. */
export const targetHelp =
  'HOST is a DNS name, or a stored key such as acme.example~a.example or a.example+rsa.'

/** The host and the certificate that a command is about. */
export interface Target {
  readonly host: Host
  readonly id: CertId
}

/**
 * Parses the first operand: a host, or the stored key of a certificate as `ls --json` prints it.
 * @throws {UsageError} for an invalid host, key, URL or prefix
 */
export function parseTarget(args: ParsedArguments): Target {
  const [operand = ''] = args.operands
  const isRsa = args.flags.rsa === true
  const stored = parseKey(operand)
  // A key without prefix and suffix is a host.
  if (stored.kind !== 'certificate' || stored.id.name === operand || !isCacheKey(operand)) {
    const host = parseHost(args)
    const keyType = isRsa ? 'rsa-2048' : 'ecdsa-p256'
    return { host, id: { ca: selectCa(args), name: certName(host), keyType } }
  }
  const { ca, name, keyType } = stored.id
  const selectedCa = selectOptionalCa(args)
  if (ca !== '' && selectedCa !== undefined && selectedCa !== ca) {
    throw new UsageError(`the stored key "${operand}" is from another CA than --directory or --key-prefix`)
  }
  return {
    host: normalizeHost(name) as Host,
    id: { ca: ca || (selectedCa ?? ''), name, keyType: isRsa ? 'rsa-2048' : keyType },
  }
}

/**
 * Returns the first operand, normalised as in certificates and keys.
 * @throws {UsageError} unless it is a DNS name that a public CA issues for
 */
export function parseHost({ operands: [operand = ''] }: ParsedArguments): Host {
  const host = normalizeHost(operand)
  if (host !== undefined) return host
  const shown = replaceControlCharacters(operand.slice(0, 80))
  throw new UsageError(`"${shown}" is not a DNS name that a public CA issues certificates for`)
}
