import { expect, test } from 'vitest'
import { handshake } from '../support/tls.js'
import { openSite } from './site.js'

const current = 'acme_account+key'
const legacy = 'acme_account.key'

test('Node places orders with the account that Go created', async () => {
  await using site = await openSite()
  const go = await site.goServer()
  site.validateAt(go)
  await handshake(go.tlsPort, 'a.example')
  const key = await site.cache.get(current)
  const node = await site.node()
  site.validateAt(node)
  await handshake(node.tlsPort, 'b.example')
  expect(site.ca.counts).toMatchObject({ accounts: 1, orders: 2 })
  expect(await site.cache.get(current)).toEqual(key)
})

test('Go places orders with the account that Node created', async () => {
  await using site = await openSite()
  const node = await site.node()
  site.validateAt(node)
  await handshake(node.tlsPort, 'a.example')
  const key = await site.cache.get(current)
  const go = await site.goServer()
  site.validateAt(go)
  await handshake(go.tlsPort, 'b.example')
  expect(site.ca.counts).toMatchObject({ accounts: 1, orders: 2 })
  expect(await site.cache.get(current)).toEqual(key)
})

test('Go and Node use an account key under the name that old versions of autocert used', async () => {
  await using site = await openSite()
  const first = await site.goServer()
  site.validateAt(first)
  await handshake(first.tlsPort, 'a.example')
  await site.cache.put(legacy, (await site.cache.get(current))!)
  await site.cache.delete(current)

  const node = await site.node()
  site.validateAt(node)
  await handshake(node.tlsPort, 'b.example')
  const go = await site.goServer()
  site.validateAt(go)
  await handshake(go.tlsPort, 'c.example')
  expect(site.ca.counts).toMatchObject({ accounts: 1, orders: 3 })
  expect(await site.names()).not.toContain(current)
})
