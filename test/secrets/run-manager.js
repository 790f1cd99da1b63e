import { createSecretKey } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import tls from 'node:tls'
import { ContainerClient, ContainerSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob'
import { AzureBlobCertCache, CertManager, EncryptedCertCache, LruCertCache } from 'acme-cert-cache'
import { TestCa } from 'acme-cert-cache/testing'
import { ShiftingClock } from '../support/shifting-clock.js'
import { keep, keepKeys, makeBytes } from './made.js'
import { show } from './show.js'

const day = 86_400_000
const events = /** @type {const} */ ([
  ...['served', 'refused', 'handshakeFailed', 'loaded', 'adopted', 'issued', 'renewed', 'issuanceFailed'],
  ...['renewalFailed', 'invalid', 'storeFailed', 'challengeAnswered'],
])
const storageFaults = [
  'reset',
  { status: 403, code: 'AuthenticationFailed' },
  { status: 403, code: 'AuthorizationPermissionMismatch' },
  { status: 404, code: 'ContainerNotFound' },
  { status: 409, code: 'ContainerBeingDeleted' },
  { status: 500, code: 'InternalError' },
]

const timeoutMs = 60_000
/** For requests that hang. */
const shortTimeoutMs = 10_000

/**
 * Runs a manager on Azure through orders, renewals, and faults of the CA and of the store.
 * @param {import('./run.js').Service} service
 * @param {import('./run.js').Break} breakStore
 * @param {boolean} hang whether requests also hang until their time-out
 */
export async function runManager(service, breakStore, hang) {
  const { shared, byString, bySas, connectWrongly } = await openStores(service, timeoutMs)
  const impatient = hang ? await openStores(service, shortTimeoutMs) : undefined
  const put = shared.put.bind(shared)
  shared.put = (key, data, options) => {
    // Includes challenge answers, which are removed later.
    keepKeys(Buffer.from(data).toString())
    return put(key, data, options)
  }
  const encrypted = new EncryptedCertCache(bySas, {
    keys: {
      current: { id: '1', key: makeBytes() },
      previous: [{ id: '0', key: createSecretKey(makeBytes()) }],
    },
  })
  const clock = new ShiftingClock()
  const hmacKey = makeBytes().toString('base64url')
  const ca = await TestCa.start({ now: clock.now, externalAccounts: { kid: hmacKey } })
  const acme = {
    termsOfServiceAgreed: /** @type {const} */ (true),
    directoryUrl: ca.directoryUrl,
    ca: ca.endpointCertificate,
    keyPrefix: '',
    externalAccountBinding: { kid: 'kid', hmacKey },
  }
  const hostPolicy = ['a.example', 'b.example', 'c.example', 'd.example']
  const manager = new CertManager({ cache: shared, hostPolicy, acme, clock, defaultHost: 'a.example' })
  for (const name of events) manager.on(name, show)
  const handlers = manager.tlsOptions()
  const server = https.createServer(handlers).on('tlsClientError', show)
  const port = await open(server)
  ca.tlsPort = port

  console.log('An order, a renewal, the default context.')
  await handshake(port, 'a.example')
  show(await manager.getCertificate('a.example'))
  manager.attach(server)
  await handshake(port)
  // Node keeps the options of a server as its properties.
  show(server)
  clock.set(63 * day)
  const renewed = once(manager, 'renewed')
  await handshake(port, 'a.example')
  await renewed

  console.log('What can go wrong with the CA.')
  ca.fault({ on: 'challenge', invalid: true, type: 'unauthorized' })
  await handshake(port, 'b.example').catch(show)
  for (const on of /** @type {const} */ (['newOrder', 'authz', 'finalize', 'certificate'])) {
    clock.jump(2 * day)
    // Not a fault of the CA, after which the order would be continued.
    ca.fault({ on, type: 'malformed' })
    await manager.getCertificate('c.example').catch(show)
  }
  ca.fault({ on: 'newOrder', status: 200, body: '<html>', contentType: 'text/html' })
  await manager.ensure(['b.example', 'not a name', 'elsewhere.example']).catch(show)

  console.log('What can go wrong with the store.')
  await put('c.example', Buffer.from('-----BEGIN CERTIFICATE-----\nrubbish'))
  clock.jump(2 * day)
  await manager.getCertificate('c.example').catch(show)
  const lock = /** @type {import('acme-cert-cache').CertCacheLock} */ (await bySas.tryLock('locked.example'))
  show(lock)
  await encrypted.put('d.example', Buffer.from('value'))
  for (const fault of storageFaults) {
    await breakStore(fault)
    await Promise.all([
      ...tryAll([shared, bySas, encrypted]),
      ...connectWrongly.map((connect) => connect().then(show, show)),
      lock.release().catch(show),
      manager.getCertificate('b.example').catch(show),
    ])
    clock.jump(60_000)
  }
  if (impatient) {
    await breakStore('hang')
    await Promise.all([
      ...tryAll([impatient.shared, impatient.byString, impatient.bySas]),
      ...impatient.connectWrongly.map((connect) => connect().then(show, show)),
    ])
  }
  await breakStore()
  await put('e.example', Buffer.from('plain'))
  await encrypted.get('e.example').catch(show)

  console.log('A certificate that can not be stored, until the end.')
  await breakStore({ status: 403, code: 'AuthorizationPermissionMismatch' }, 'PUT', '/d.example')
  clock.jump(2 * day)
  await manager.getCertificate('d.example')
  const lru = new LruCertCache(shared)
  await lru.get('a.example')
  for (const value of [shared, byString, bySas, encrypted, lru, ca]) show(value)
  for (const value of [manager, manager.status(), handlers, manager.httpHandler()]) show(value)
  await manager.close().then(() => Promise.reject(new Error('closed without a word')), show)
  show(manager)
  await breakStore()
  await lru.close()
  server.closeAllConnections()
  server.close()
  await ca.close()
}

/** @param {readonly (import('acme-cert-cache').CertCache & { tryLock?: (key: string) => Promise<unknown> })[]} stores */
const tryAll = (stores) =>
  stores.flatMap((store) => [
    store.get('d.example').catch(show),
    store.put('d.example', Buffer.from('value')).catch(show),
    ...('tryLock' in store ? [store.tryLock('e.example').catch(show)] : []),
  ])

/** @param {import('./run.js').Service} service @param {number} timeoutMs */
async function openStores({ accountName, accountKey, endpoint, containerName }, timeoutMs) {
  keep(accountKey)
  const container = new ContainerClient(
    `${endpoint}/${containerName}`,
    new StorageSharedKeyCredential(accountName, accountKey),
  )
  const permissions = ContainerSASPermissions.parse('racwd')
  const sas = await container.generateSasUrl({ permissions, expiresOn: new Date(Date.now() + 600_000) })
  keep(/** @type {string} */ (new URL(sas).searchParams.get('sig')))
  const byKey = { accountName, accountKey, endpoint, containerName, timeoutMs }
  const connectionString = `DefaultEndpointsProtocol=http;AccountName=${accountName};AccountKey=${accountKey};BlobEndpoint=${endpoint};`
  const connect = AzureBlobCertCache.connect
  return {
    shared: await connect(byKey),
    byString: await connect({ connectionString, containerName, timeoutMs }),
    bySas: await connect({ endpoint: sas, containerName, timeoutMs }),
    connectWrongly: [
      () => connect(byKey),
      () => connect({ connectionString, containerName: 'is-not-there', timeoutMs }),
      () => connect({ connectionString: connectionString.replace('AccountName', 'Name'), containerName }),
      () => connect({ ...byKey, accountKey: makeBytes().toString('base64') }),
      () => connect({ ...byKey, endpoint: sas }),
      () => connect({ endpoint: sas.replace('http:', 'ftp:'), containerName }),
      () => connect({ endpoint: sas, containerName: 'is-not-there', timeoutMs }),
    ],
  }
}

/** @param {import('node:net').Server} server */
async function open(server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port
}

/** @param {number} port @param {string} [servername] */
async function handshake(port, servername) {
  const name = servername === undefined ? {} : { servername }
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...name })
  await once(socket, 'secureConnect')
  socket.destroy()
}
