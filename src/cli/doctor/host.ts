import { randomBytes } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { isIP } from 'node:net'
import type { CertCache } from '../../cache/cert-cache.js'
import type { StorageLayout } from '../../certificates/storage-layout.js'
import { toError } from '../../util/errors.js'
import { UsageError } from '../console/arguments.js'
import { serversEncrypt } from '../container/encryption.js'
import { type Check, type Finding, failed, ok, warning } from './finding.js'

const answerMs = 10_000
/** More than any answer to http-01 has. */
const largestAnswer = 4_096

interface Wanted {
  readonly host: string
  readonly httpPort: number
  readonly resolver: Resolver
  /** `undefined`: the CA was not reached. */
  readonly caaIdentities: readonly string[] | undefined
  readonly layout: StorageLayout
  /** `undefined`: it can't be written. */
  readonly store: CertCache | undefined
}

/** Whether a CA would find the host, be allowed to issue for it, and get its answer. */
export async function checkHost(check: Check, wanted: Wanted): Promise<void> {
  const { host, httpPort, resolver, caaIdentities, layout, store } = wanted
  let addresses: string[] = []
  await check(`DNS ${host}`, async () => {
    addresses = await addressesOf(host, resolver)
    return ok(addresses.join(', '))
  })
  await check(`CAA ${host}`, () => checkCaa(host, resolver, caaIdentities))
  if (!store || addresses.length === 0) return
  if (await serversEncrypt(store, layout)) {
    await check('http', async () =>
      warning(
        `not tried: servers that encrypt take no answer from here; see that they are reached at port ${httpPort}`,
      ),
    )
    return
  }
  const token = `doctor-${randomBytes(16).toString('hex')}`
  const value = `${token}.answer`
  const key = layout.http01(token)
  await store.put(key, Buffer.from(value))
  try {
    // Each of them: a CA takes any, and prefers IPv6.
    for (const address of addresses) {
      const at = `http ${isIP(address) === 6 ? `[${address}]` : address}:${httpPort}`
      await check(at, () => checkAnswer(host, address, httpPort, token, value))
    }
  } finally {
    await store.delete(key)
  }
}

/** @throws {UsageError} for what is no address */
export function resolverOf(nameServer: string | undefined): Resolver {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 })
  try {
    if (nameServer !== undefined) resolver.setServers([nameServer])
  } catch {
    throw new UsageError('--dns takes the IP address of a name server, with or without a port')
  }
  return resolver
}

/** As DNS has them: /etc/hosts is not asked, since the CA does not. */
async function addressesOf(host: string, resolver: Resolver): Promise<string[]> {
  const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  if (addresses.length > 0) return addresses
  const refused = answers.map((answer) => codeOf((answer as PromiseRejectedResult).reason))
  if (refused.every(isNoSuchRecord)) {
    throw new Error('there is no address: add an A or AAAA record that leads to the servers')
  }
  throw new Error(`the name server could not be asked (${refused.join(', ')}): try --dns 1.1.1.1`)
}

const codeOf = (thrown: unknown): string => String((thrown as NodeJS.ErrnoException).code)
const isNoSuchRecord = (code: string) => code === 'ENODATA' || code === 'ENOTFOUND'

/** RFC 8659 section 3: the records nearest to the host count, from itself up to the top. */
async function checkCaa(
  host: string,
  resolver: Resolver,
  identities: readonly string[] | undefined,
): Promise<Finding> {
  const labels = host.split('.')
  for (let from = 0; from < labels.length; from++) {
    const name = labels.slice(from).join('.')
    const records = await resolver.resolveCaa(name).catch((thrown: unknown) => {
      if (isNoSuchRecord(codeOf(thrown))) return []
      throw new Error(
        `the CAA records of ${name} could not be read (${codeOf(thrown)}), and a CA that can’t read them issues nothing: check the name server`,
      )
    })
    if (records.length === 0) continue
    const issuers = records.flatMap(({ issue }) =>
      issue === undefined ? [] : [issue.split(';', 1)[0]?.trim() ?? ''],
    )
    if (issuers.length === 0) return ok(`${name} has records, none about issuers: every CA may issue`)
    const named = `${name} allows ${issuers.filter((issuer) => issuer !== '').join(', ') || 'no CA'}`
    if (!identities?.length)
      return warning(`${named}, and the CA does not say which is its name: compare them`)
    return issuers.some((issuer) => identities.includes(issuer))
      ? ok(named)
      : failed(`${named}: add a record 0 issue "${identities[0]}" for ${host}`)
  }
  return ok('no records: every CA may issue')
}

/** The way of http-01: what is in the container must come from whichever machine is reached. */
async function checkAnswer(
  host: string,
  address: string,
  port: number,
  token: string,
  value: string,
): Promise<Finding> {
  let answer: Awaited<ReturnType<typeof ask>>
  try {
    answer = await ask(host, address, port, `/.well-known/acme-challenge/${token}`)
  } catch (thrown) {
    const { code, name } = toError(thrown) as NodeJS.ErrnoException
    const away = ['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(code ?? '')
    if (away) return warning(`there is no way to it from this machine (${code}): try from another`)
    return failed(
      `nobody answers (${code ?? name}): open port 80 and serve manager.httpHandler() there; or rely on tls-alpn-01 at port 443`,
    )
  }
  const { status, body, location } = answer
  if (status === 200 && body === value)
    return ok('the answer that was put into the container came from there')
  if (status >= 300 && status < 400 && location !== undefined) {
    return warning(
      `it leads elsewhere, where a CA follows: ${location}; manager.httpHandler() must answer there`,
    )
  }
  return failed(
    `something else answered, with status ${status}: serve manager.httpHandler() there, for a hostPolicy with ${host}, this container, and the same CA`,
  )
}

async function ask(host: string, address: string, port: number, path: string) {
  const signal = AbortSignal.timeout(answerMs)
  const outgoing = request({ host: address, port, path, headers: { host }, agent: false, signal })
  outgoing.end()
  const [incoming] = (await once(outgoing, 'response', { signal })) as [IncomingMessage]
  let body = ''
  for await (const chunk of incoming.setEncoding('latin1')) {
    body += chunk
    if (body.length > largestAnswer) break
  }
  return { status: incoming.statusCode ?? 0, body, location: incoming.headers.location }
}
