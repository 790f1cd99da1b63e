import { type Command, type ParsedArguments, stringFlag } from '../console/arguments.js'
import { CommandError, UsageError } from '../console/errors.js'
import { formatCount } from '../console/format.js'
import { connect } from '../container/connection.js'
import { isStoreEncrypted } from '../container/encryption.js'
import { caFlags, selectCa } from '../flags/ca.js'
import { connectionFlags } from '../flags/connection.js'
import { readAutocertFolder, readCertbotFolder, readKeyAndChainFiles } from '../import/sources.js'
import { importAccountKey, importCertificate, refuse } from '../import/write.js'

export const importCertificates: Command = {
  usage: 'import (--autocert FOLDER | --certbot FOLDER | --key FILE --chain FILE) [flags]',
  summary: 'certificates from Go’s autocert, from certbot, or from any key and chain',
  details: `A certificate is stored under each of its names that is no wildcard, an RSA one as HOST+rsa. What is in the
container stays if it is as new, or newer. Refused, and exit code 1: a key that is another certificate’s, what has expired.`,
  operands: [0, 0],
  flags: {
    ...connectionFlags,
    ...caFlags,
    autocert: { value: 'FOLDER', help: 'an autocert.DirCache; its account key comes along if there is none' },
    certbot: { value: 'FOLDER', help: 'certbot’s live folder, /etc/letsencrypt/live' },
    key: { value: 'FILE', help: 'a private key, PEM (acme.sh, lego, Caddy, …)' },
    chain: { value: 'FILE', help: 'its certificate and intermediates, PEM, leaf first' },
    'dry-run': { help: 'show what would be written' },
  },
  async run(args, terminal) {
    const items = readSource(args)
    const { store, containerName } = await connect(args)
    const ca = selectCa(args)
    if (await isStoreEncrypted(store, ca)) {
      throw new CommandError(
        `what is in container ${containerName} is encrypted, and servers refuse what is not: put it there through an EncryptedCertCache, in a program that has the key`,
      )
    }
    const isDryRun = args.flags['dry-run'] === true
    const write = async (key: string, value: Uint8Array) => {
      if (!isDryRun) await store.put(key, value)
    }
    const counts = { written: 0, kept: 0, refused: 0 }
    for await (const item of items) {
      const outcomes =
        'readError' in item
          ? [refuse(item.readError)]
          : 'accountKey' in item
            ? [await importAccountKey(item.accountKey, ca, store, write)]
            : await importCertificate(item.pem, ca, store, write)
      for (const { verdict, text } of outcomes) {
        counts[verdict] += 1
        const label = isDryRun && verdict === 'written' ? 'would write' : verdict
        await terminal.printLine(`${item.source}: ${label} ${text}`)
      }
    }
    const { written, kept, refused } = counts
    if (written + kept + refused === 0) throw new CommandError('nothing to import was found there')
    const verb = isDryRun ? 'would be written' : 'written'
    terminal.printNote(
      `${formatCount(written, 'blob')} ${verb} to container ${containerName}, ${kept} kept, ${refused} refused`,
    )
    return refused === 0 ? 0 : 1
  },
}

/** @throws {UsageError} unless the flags name exactly one source */
function readSource(args: ParsedArguments) {
  const [autocert, certbot, key, chain] = ['autocert', 'certbot', 'key', 'chain'].map((name) =>
    stringFlag(args, name),
  )
  const sources = [autocert, certbot, key ?? chain].filter((source) => source !== undefined)
  if (sources.length !== 1 || (key === undefined) !== (chain === undefined)) {
    throw new UsageError('give one of --autocert FOLDER, --certbot FOLDER, or --key FILE with --chain FILE')
  }
  if (autocert !== undefined) return readAutocertFolder(autocert)
  if (certbot !== undefined) return readCertbotFolder(certbot)
  return readKeyAndChainFiles(key as string, chain as string)
}
