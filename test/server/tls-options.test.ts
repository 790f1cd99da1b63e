import { once } from 'node:events'
import * as net from 'node:net'
import * as tls from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { checkContextOptions } from '../../src/server/contexts/context-options.js'
import { ServerContextsByOptions } from '../../src/server/contexts/server-contexts.js'
import { makeClientCa } from '../support/client-ca.js'
import { storedHosts } from '../support/stored-host.js'
import { listen } from '../support/tls.js'

let own: Awaited<ReturnType<typeof makeClientCa>>
let other: Awaited<ReturnType<typeof makeClientCa>>
beforeAll(async () => {
  own = await makeClientCa('own CA')
  other = await makeClientCa('other CA')
})

async function startManager() {
  const { manager } = await storedHosts(['a.example'])
  onTestFinished(() => manager.close())
  return manager
}

test('contexts are kept no longer than a server uses their options', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const byOptions = new ServerContextsByOptions()
  const ask = (ca: string) => new WeakRef(byOptions.for(checkContextOptions('test', { ca })))
  const reference = ask(own.root)
  await expect
    .poll(() => {
      collect()
      return reference.deref() === undefined
    })
    .toBe(true)
  const contexts = byOptions.for(checkContextOptions('test', { ca: own.root }))
  collect()
  expect(byOptions.for(checkContextOptions('test', { ca: own.root }))).toBe(contexts)
})

describe('tlsOptions() names what is wrong:', () => {
  const cases: [string, object, RegExp][] = [
    [
      'a path as ca',
      { ca: '/etc/ca.pem' },
      /^tlsOptions: ca has no PEM block "CERTIFICATE": pass the content/,
    ],
    ['an empty list', { ca: [] }, /^tlsOptions: ca must be PEM text/],
    ['a number', { ca: 5 }, /^tlsOptions: ca must be PEM text .*, not 5$/],
    [
      'a broken certificate',
      { ca: broken('CERTIFICATE') },
      /^tlsOptions: ca contains a certificate that cannot/,
    ],
    ['crl without ca', { crl: broken('X509 CRL') }, /^tlsOptions: crl needs ca/],
    [
      'an empty list of compressions',
      { certificateCompression: [] },
      /^tlsOptions: certificateCompression must/,
    ],
    [
      'an unknown compression',
      { certificateCompression: ['gzip'] },
      /certificateCompression must be one of zlib, /,
    ],
    ['a misspelled option', { crls: '' }, /^tlsOptions: unknown option "crls"\. Did you mean "crl"\?/],
  ]
  test.each(cases)('%s', async (_, options, message) => {
    const manager = await startManager()
    expect(() => manager.tlsOptions(options)).toThrow(message)
    expect(() => manager.tlsOptions(options)).toThrow(TypeError)
  })

  test('a CRL of another CA, and one that cannot be parsed', async () => {
    const manager = await startManager()
    const crl = await other.revoke('0b')
    expect(() => manager.tlsOptions({ ca: own.root, crl })).toThrow(
      /crl contains a CRL whose issuer is none of/,
    )
    expect(manager.tlsOptions({ ca: [own.root, other.root], crl })).toMatchObject({ crl })
    for (const text of [broken('X509 CRL'), broken('X509 CRL', '')])
      expect(() => manager.tlsOptions({ ca: own.root, crl: text })).toThrow(/^tlsOptions: crl /)
  })
})

function broken(label: string, base64 = 'MAMCAQE=') {
  return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`
}

test('certificateCompression reaches the contexts of hosts, on Node that has it', async () => {
  const bytesReceived = async (certificateCompression?: ['zlib']) => {
    const manager = await startManager()
    // Long enough to be worth compressing.
    const options = manager.tlsOptions(certificateCompression ? { certificateCompression } : {})
    expect(options.certificateCompression).toEqual(certificateCompression)
    const server = tls.createServer({ SNICallback: options.SNICallback })
    onTestFinished(() => void server.close())
    const port = await listen(server)
    const raw = net.connect(port, '127.0.0.1')
    const client = { socket: raw, servername: 'a.example', rejectUnauthorized: false, certificateCompression }
    const socket = tls.connect(client as tls.ConnectionOptions)
    await once(socket, 'secureConnect')
    const { bytesRead } = raw
    socket.destroy()
    return bytesRead
  }
  const [plain, compressed] = [await bytesReceived(), await bytesReceived(['zlib'])]
  const isSupported = /certificateCompression/.test(tls.Server.prototype.setSecureContext.toString())
  if (isSupported) expect(compressed).toBeLessThan(plain - 20)
  else expect(Math.abs(compressed - plain)).toBeLessThan(20)
})
