import { type Command, type ParsedArguments, stringFlag } from '../console/arguments.js'
import { CommandError, UsageError } from '../console/errors.js'
import { formatCount } from '../console/format.js'
import { connect } from '../container/connection.js'
import { isStoreEncrypted } from '../container/encryption.js'
import { caFlags, selectCa } from '../flags/ca.js'
import { connectionFlags } from '../flags/connection.js'
import { readAutocertFolder, readCertbotFolder, readKeyAndChainFiles } from '../import/sources.js'
import { createTestCaCheck } from '../import/test-ca.js'
import {
  type Destination,
  importAccountKey,
  importCertificate,
  type Outcome,
  refuse,
} from '../import/write.js'

export const importCertificates: Command = {
  usage: 'import (--autocert FOLDER | --certbot FOLDER | --key FILE --chain FILE) [flags]',
  summary: 'Import certificates from autocert, certbot or PEM files',
  details: `Stores a certificate under each of its DNS names except wildcards; an RSA certificate under HOST+rsa. Keeps a stored
certificate that is as new or newer. Refuses an expired certificate, and a private key that does not match.
Writes under the lock that servers hold while they renew. If a server holds the lock, the exit code is 1: run import again.
If an issuer looks like a test CA and neither --directory nor --key-prefix selects its keys, asks for confirmation;
without a terminal, refuses the certificate unless you pass --yes.`,
  operands: [0, 0],
  flags: {
    ...connectionFlags,
    ...caFlags,
    autocert: { value: 'FOLDER', help: 'folder of autocert.DirCache, with its account key if there is none' },
    certbot: { value: 'FOLDER', help: "certbot's live folder, /etc/letsencrypt/live" },
    key: { value: 'FILE', help: 'private key in PEM (acme.sh, lego, Caddy, …)' },
    chain: { value: 'FILE', help: 'certificate and intermediates in PEM, leaf first' },
    yes: { help: 'import certificates of test CAs without a confirmation prompt' },
    'dry-run': { help: 'show what would be written, and write nothing' },
  },
  async run(args, terminal) {
    const items = readSource(args)
    const ca = selectCa(args)
    const { store, containerName } = await connect(args)
    if (await isStoreEncrypted(store, ca)) {
      throw new CommandError(
        `container "${containerName}" is encrypted, and servers reject plaintext. Import through an EncryptedCertCache, in a program that has the key.`,
      )
    }
    const isDryRun = args.flags['dry-run'] === true
    const isProduction = ca === '' && stringFlag(args, 'key-prefix') === undefined
    const checkTestCa = createTestCaCheck(terminal, isDryRun || args.flags.yes === true)
    const destination: Destination = {
      ca,
      store,
      isDryRun,
      objection: async (certificate) => (isProduction ? checkTestCa(certificate) : undefined),
    }
    const counts = { written: 0, kept: 0, refused: 0, locked: 0 }
    for await (const item of items) {
      const outcomes =
        'readError' in item
          ? [refuse(item.readError)]
          : 'accountKey' in item
            ? [await importAccountKey(item.accountKey, destination)]
            : await importCertificate(item.pem, destination)
      for (const outcome of outcomes) {
        counts[outcome.verdict] += 1
        await terminal.printLine(`${item.source}: ${formatOutcome(outcome, isDryRun)}`)
      }
    }
    const { written, kept, refused, locked } = counts
    if (written + kept + refused + locked === 0) {
      throw new CommandError(
        `found no certificate to import in "${stringFlag(args, 'autocert') ?? stringFlag(args, 'certbot')}"`,
      )
    }
    const verb = isDryRun ? 'would be written' : 'written'
    terminal.printNote(
      `${formatCount(written, 'blob')} ${verb} to container "${containerName}", ${kept} kept, ${refused + locked} refused`,
    )
    if (locked > 0) {
      throw new CommandError(
        `cannot write ${formatCount(locked, 'blob')}: another machine holds the lock. Run import again.`,
      )
    }
    return refused === 0 ? 0 : 1
  },
}

function formatOutcome({ verdict, key, note }: Outcome, isDryRun: boolean): string {
  if (verdict === 'refused' || verdict === 'locked') {
    return key === undefined ? `refused: ${note}` : `refused ${key}: ${note}`
  }
  return `${isDryRun && verdict === 'written' ? 'would write' : verdict} ${key} (${note})`
}

/** @throws {UsageError} unless the flags name exactly one source */
function readSource(args: ParsedArguments) {
  const [autocert, certbot, key, chain] = ['autocert', 'certbot', 'key', 'chain'].map((name) =>
    stringFlag(args, name),
  )
  const sources = [autocert, certbot, key ?? chain].filter((source) => source !== undefined)
  if (sources.length !== 1 || (key === undefined) !== (chain === undefined)) {
    throw new UsageError(
      'pass exactly one source: --autocert FOLDER, --certbot FOLDER, or --key FILE with --chain FILE',
    )
  }
  if (autocert !== undefined) return readAutocertFolder(autocert)
  if (certbot !== undefined) return readCertbotFolder(certbot)
  return readKeyAndChainFiles(key as string, chain as string)
}
