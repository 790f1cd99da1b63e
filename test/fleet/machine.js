// A machine of the fleet: a process with an https server and a manager, controlled by the test.
import https from 'node:https'
import { CertManager } from 'acme-cert-cache'
import { ShiftingClock } from '../support/shifting-clock.js'
import { openStore } from './open-store.js'
import { Troubles } from './troubles.js'

/** @typedef {{ store: import('./open-store.js').StoreSettings, acme: object, clockAheadMs: number }} MachineSettings */

const clock = new ShiftingClock()
const troubles = new Troubles()
const tell = (/** @type {object} */ message) => process.connected && process.send?.(message)
const events = /** @type {const} */ ([
  'loaded',
  'issued',
  'issuanceFailed',
  'handshakeFailed',
  'storeFailed',
  'challengeAnswered',
])

process.on('disconnect', () => process.exit())
/**
 * @typedef {object} Message
 * @property {MachineSettings} [start]
 * @property {number} [jump] Milliseconds
 * @property {number} [uid] Of the user that the process becomes
 * @property {{ clockShiftMs?: number, isReadOnly?: boolean, hasEgress?: boolean, hasDescriptors?: boolean }} [trouble]
 */
process.on('message', (/** @type {Message} */ message) => {
  if (message.start) void start(message.start)
  if (message.trouble) {
    clock.set(message.trouble.clockShiftMs ?? 0)
    troubles.set(message.trouble)
    tell({ troubled: true })
  }
  if (message.jump) {
    clock.jump(message.jump)
    tell({ jumped: true })
  }
  if (message.uid !== undefined) {
    process.setuid?.(message.uid)
    tell({ became: message.uid })
  }
})

async function start(/** @type {MachineSettings} */ { store, acme, clockAheadMs }) {
  clock.jump(clockAheadMs)
  const cache = troubles.wrap(await openStore(store))
  const manager = new CertManager({
    cache,
    hostPolicy: (host) => host.endsWith('.fleet.example'),
    acme: { termsOfServiceAgreed: true, keyPrefix: '', agent: troubles.agent, ...acme },
    clock,
  })
  for (const name of events) {
    manager.on(name, (/** @type {any} */ details) => {
      const { host, error, operation, key, type, from } = details
      tell({ event: { name, host, code: error?.code, retryAt: error?.retryAt, operation, key, type, from } })
    })
  }
  const server = https.createServer(manager.tlsOptions(), (_req, res) => res.end('hello'))
  server.on('tlsClientError', () => undefined)
  server.listen({ host: '127.0.0.1', port: 0, backlog: 2_000 }, () => {
    tell({ listening: /** @type {import('node:net').AddressInfo} */ (server.address()).port })
  })
}
