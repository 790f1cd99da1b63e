import { expect, test } from 'vitest'
import { LockingStore } from '../support/locking-store.js'
import { impatient, useManagers } from '../support/managers.js'

const t = useManagers()
const host = 'a.example'

test('managers with different key types on one store obtain their certificates at once, by tls-alpn-01', async () => {
  const store = new LockingStore()
  t.store = store
  const rsa = await t.machine({ keyType: 'rsa-2048', clock: impatient(t.clock) })
  const ecdsa = await t.machine({ clock: impatient(t.clock) })
  const answers: string[] = []
  // The first answer is written once the other order has met its lock, or without one, writes its own answer.
  const met = { promise: Promise.resolve(), resolve: () => {} }
  met.promise = new Promise((resolve) => {
    met.resolve = resolve
  })
  store.before = (operation, key) => {
    if (operation === 'lock' && key === host && store.held(host)) met.resolve()
    if (key !== `${host}+token` || operation === 'get') return
    answers.push(operation)
    if (answers.length === 2) met.resolve()
    return operation === 'put' ? met.promise : undefined
  }
  await Promise.all([rsa, ecdsa].map(({ manager }) => manager.getCertificate(host)))
  expect(answers).toEqual(['put', 'delete', 'put', 'delete'])
  expect([rsa, ecdsa].flatMap(({ events }) => events.issuanceFailed ?? [])).toEqual([])
  expect([...store.values.keys()].filter((key) => key.startsWith(host)).sort()).toEqual([host, `${host}+rsa`])
})
