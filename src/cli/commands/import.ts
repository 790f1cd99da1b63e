import { createPrivateKey } from 'node:crypto'
import type { CertCache } from '../../cache/cert-cache.js'
import { checkBundle, encodeBundle } from '../../certificates/certificate-bundle.js'
import { normalizeHost } from '../../certificates/hostname.js'
import { exportKey } from '../../certificates/private-key.js'
import { toError } from '../../util/errors.js'
import { type Command, CommandError, textOf, UsageError } from '../console/arguments.js'
import { minuteOf } from '../console/format.js'
import { factsOf } from '../container/certificate-details.js'
import { caFlags, connect, connectionFlags, layoutOf } from '../container/connection.js'
import { serversEncrypt } from '../container/encryption.js'
import { usable } from '../import/validate.js'
import { type Found, fromAutocert, fromCertbot, fromFiles } from '../import/sources.js'
import { counted } from './ls.js'

/** What became of something that was found. */
interface Outcome {
  readonly verdict: 'written' | 'kept' | 'refused'
  readonly text: string
}

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
  async run(given, terminal) {
    const sources = await chosenSource(
      textOf(given, 'autocert'),
      textOf(given, 'certbot'),
      textOf(given, 'key'),
      textOf(given, 'chain'),
    )
    const { store, containerName } = await connect(given)
    if (await serversEncrypt(store, layoutOf(given, 'ecdsa-p256'))) {
      throw new CommandError(
        `what is in container ${containerName} is encrypted, and servers refuse what is not: put it there through an EncryptedCertCache, in a program that has the key`,
      )
    }
    const dryRun = given.flags['dry-run'] === true
    const layoutFor = (rsa: boolean) => layoutOf(given, rsa ? 'rsa-2048' : 'ecdsa-p256')
    const write = async (key: string, value: Uint8Array) => {
      if (!dryRun) await store.put(key, value)
    }
    const count = { written: 0, kept: 0, refused: 0 }
    for await (const found of sources) {
      const outcomes =
        'unreadable' in found
          ? [refusal(found.unreadable)]
          : 'accountKey' in found
            ? [await importAccountKey(found.accountKey, layoutFor(false).accountKey, store, write)]
            : await importPair(found, (host, rsa) => layoutFor(rsa).certificate(host), store, write)
      for (const { verdict, text } of outcomes) {
        count[verdict] += 1
        const shown = dryRun && verdict === 'written' ? 'would write' : verdict
        await terminal.line(`${found.from}: ${shown} ${text}`)
      }
    }
    const { written, kept, refused } = count
    if (written + kept + refused === 0) throw new CommandError('nothing to import was found there')
    const verb = dryRun ? 'would be written' : 'written'
    terminal.note(
      `${counted(written, 'blob')} ${verb} to container ${containerName}, ${kept} kept, ${refused} refused`,
    )
    return refused === 0 ? 0 : 1
  },
}

async function chosenSource(autocert?: string, certbot?: string, key?: string, chain?: string) {
  const ways = [autocert, certbot, key ?? chain].filter((way) => way !== undefined)
  if (ways.length !== 1 || (key === undefined) !== (chain === undefined)) {
    throw new UsageError('give one of --autocert FOLDER, --certbot FOLDER, or --key FILE with --chain FILE')
  }
  if (autocert !== undefined) return fromAutocert(autocert)
  if (certbot !== undefined) return fromCertbot(certbot)
  return fromFiles(key as string, chain as string)
}

const refusal = (why: string): Outcome => ({ verdict: 'refused', text: `(${why})` })

type Write = (key: string, value: Uint8Array) => Promise<void>
type Pair = Extract<Found, { pem: string }>

async function importPair(
  { pem }: Pair,
  keyOf: (host: string, rsa: boolean) => string,
  store: CertCache,
  write: Write,
): Promise<Outcome[]> {
  const found = usable(pem)
  if ('why' in found) return [refusal(found.why)]
  const { leafKey, chain, facts } = found
  const data = encodeBundle(leafKey, chain)
  const hosts = new Set(facts.names.map(normalizeHost).filter((host) => host !== undefined))
  if (hosts.size === 0) {
    const names = facts.names.join(', ') || 'it has no DNS name'
    return [refusal(`no name that is served without wildcards: ${names}`)]
  }
  const outcomes: Outcome[] = []
  for (const host of hosts) {
    const { fault } = checkBundle(data, host, Date.now())
    if (fault !== undefined) {
      outcomes.push({ verdict: 'refused', text: `${host} (${fault})` })
      continue
    }
    const key = keyOf(host, leafKey.asymmetricKeyType === 'rsa')
    const present = await store.get(key)
    const former = present && factsOf(present)
    if (former?.fault === 'encrypted') {
      outcomes.push({ verdict: 'refused', text: `${key} (what is there is encrypted)` })
      continue
    }
    const until = minuteOf(new Date(facts.notAfter))
    if (former && former.fault === undefined && !isNewer(facts, former)) {
      const kept = minuteOf(new Date(former.notAfter))
      const why = former.serialNumber === facts.serialNumber ? 'it is there' : 'what is there is not older'
      outcomes.push({ verdict: 'kept', text: `${key} (${why}, until ${kept})` })
      continue
    }
    await write(key, data)
    outcomes.push({ verdict: 'written', text: `${key} (${facts.issuer}, until ${until})` })
  }
  return outcomes
}

/** As the manager has it. */
function isNewer(a: { notBefore: number; notAfter: number }, b: { notBefore: number; notAfter: number }) {
  return (a.notBefore - b.notBefore || a.notAfter - b.notAfter) > 0
}

async function importAccountKey(pem: string, key: string, store: CertCache, write: Write): Promise<Outcome> {
  if (await store.get(key)) return { verdict: 'kept', text: `${key} (there is one)` }
  let value: string
  try {
    value = exportKey(createPrivateKey(pem))
  } catch (thrown) {
    return { verdict: 'refused', text: `${key} (no private key: ${toError(thrown).name})` }
  }
  await write(key, Buffer.from(value))
  return { verdict: 'written', text: `${key} (account key)` }
}
