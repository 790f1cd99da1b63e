// A server that has no free file descriptor when its manager is constructed and when the first order is placed, and then
// some again. Reports the outcome of both orders. Started by dependencies.long.ts.
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:http'
import { devNull } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { CertManager } from 'acme-cert-cache'
import { ShiftingClock } from '../support/shifting-clock.js'

const values = new Map()
const cache = {
  get: async (/** @type {string} */ key) => values.get(key),
  put: async (/** @type {string} */ key, /** @type {Uint8Array} */ value) => void values.set(key, value),
  delete: async (/** @type {string} */ key) => void values.delete(key),
}
const clock = new ShiftingClock()
const server = createServer()
server.listen(0, '127.0.0.1', () => process.send?.(server.address()))
process.once('message', async (acme) => {
  const opened = takeAllDescriptors()
  const manager = new CertManager({
    cache,
    hostPolicy: ['a.example'],
    acme: /** @type {any} */ (acme),
    clock,
  })
  server.on('request', manager.httpHandler())
  // A failed load ends within this time, and would be remembered.
  await sleep(200)
  const order = () =>
    manager.getCertificate('a.example').then(
      () => 'issued',
      ({ code, message }) => `${code} ${message}`,
    )
  const outcomes = [await order()]
  for (const descriptor of opened) closeSync(descriptor)
  clock.jump(2 * 86_400_000)
  outcomes.push(await order())
  await manager.close()
  server.close()
  process.send?.(outcomes, () => process.disconnect())
})

function takeAllDescriptors() {
  /** @type {number[]} */
  const opened = []
  try {
    for (;;) opened.push(openSync(devNull, 'r'))
  } catch {
    return opened
  }
}
